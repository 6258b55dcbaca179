(() => {
  "use strict";
  const every = 2000; // milliseconds between two looks
  const parts = ["header", "nav", "main"];
  const name = (box) => box.closest("figure").querySelector("h4").textContent + box.parentElement.textContent;

  // What a reader has opened or unticked stays so.
  function replace(text) {
    const unticked = new Set([...document.querySelectorAll("input:not(:checked)")].map(name));
    const opened = new Set([...document.querySelectorAll("details[open] > summary")].map((head) => head.textContent));
    const anew = new DOMParser().parseFromString(text, "text/html");
    for (const part of parts) document.querySelector(part).replaceWith(anew.querySelector(part));
    document.title = anew.title;
    for (const head of document.querySelectorAll("details > summary")) {
      if (opened.has(head.textContent)) head.parentElement.open = true;
    }
    for (const box of document.querySelectorAll("input")) {
      if (unticked.has(name(box))) box.click();
    }
  }

  let tag = null;
  async function look() {
    try {
      const answer = await fetch(location.href, { headers: tag ? { "If-None-Match": tag } : {}, cache: "no-store" });
      if (answer.status === 200) {
        const first = tag === null;
        tag = answer.headers.get("ETag");
        const text = await answer.text();
        if (!first) replace(text);
      } else if (answer.status !== 304) throw new Error(answer.statusText);
      document.getElementById("lost").hidden = true;
    } catch {
      document.getElementById("lost").hidden = false;
    }
    setTimeout(look, every);
  }
  look();
})();
