(() => {
  "use strict";
  document.documentElement.classList.add("js");
  for (const figure of document.querySelectorAll("figure[id]")) {
    figure.addEventListener("change", ({ target }) => {
      for (const shape of figure.querySelectorAll(`.s${target.dataset.series}`)) shape.style.display = target.checked ? "" : "none";
    });
  }
})();
