(async () => {
  "use strict";
  document.documentElement.classList.add("js");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const touch = matchMedia("(pointer: coarse)"); // a finger scrolls the page
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const config = { responsive: true, displayModeBar: false };

  function alpha(hex, share) {
    const number = parseInt(hex.slice(1), 16);
    return `rgba(${number >> 16}, ${(number >> 8) & 255}, ${number & 255}, ${share})`;
  }

  // What the figure shows is data; what it looks like is the page's, light or dark, and what is ticked.
  function look(figure) {
    const { data, layout } = figure.plot;
    const boxes = [...figure.querySelectorAll("input[data-series]")];
    const ticked = Object.fromEntries(boxes.map((box) => [box.dataset.series, box.checked]));
    const traces = data.map((trace) => {
      const shade = colour(trace.meta.colour);
      const painted = { ...trace, visible: ticked[trace.meta.series] ?? true };
      if (trace.line) painted.line = { ...trace.line, color: shade };
      if (trace.marker) painted.marker = { ...trace.marker, color: shade, line: { color: shade, width: trace.type === "bar" ? 0 : 1.6 } };
      for (const bars of ["error_x", "error_y"]) if (trace[bars]) painted[bars] = { ...trace[bars], color: shade };
      if (trace.meta.part === "cells") painted.colorscale = [[0, colour("--paper")], [1, shade]];
      if (trace.meta.part === "band") painted.fillcolor = alpha(shade, 0.16);
      return painted;
    });
    const soft = colour("--soft"), grid = colour("--grid");
    const axis = { gridcolor: grid, linecolor: grid, zerolinecolor: grid, automargin: true, ticks: "outside", tickcolor: grid, showline: true };
    const small = { size: 12, color: soft };
    return [traces, {
      ...layout,
      xaxis: { ...axis, ...layout.xaxis, title: { ...layout.xaxis.title, font: small, standoff: 8 } },
      yaxis: { ...axis, ...layout.yaxis, title: { ...layout.yaxis.title, font: small, standoff: 8 } },
      font: { family: "system-ui, sans-serif", size: 12, color: colour("--text") },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, hovermode: "closest",
      hoverlabel: { align: "left", bgcolor: colour("--band"), bordercolor: soft, font: { color: colour("--text") } },
      margin: { l: 48, r: 12, t: 8, b: 44 }, dragmode: touch.matches ? false : "zoom", uirevision: "kept",
    }];
  }

  function draw(figure) {
    figure.classList.add("drawn");
    return Plotly.react(figure.querySelector(".live"), ...look(figure), config);
  }

  // Plotly is in the page, compressed.
  const bytes = Uint8Array.from(atob(document.getElementById("plotly").textContent), (letter) => letter.charCodeAt(0));
  const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(plain).text();
  document.head.append(script);

  const near = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (isIntersecting) { near.unobserve(target); draw(target); }
    }
  }, { rootMargin: "400px" });

  for (const figure of document.querySelectorAll("figure[id]")) {
    figure.plot = JSON.parse(figure.querySelector("script").textContent);
    near.observe(figure);
    figure.addEventListener("change", () => draw(figure));
  }
  dark.addEventListener("change", () => document.querySelectorAll(".drawn").forEach(draw));
})();
