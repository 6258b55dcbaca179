(() => {
  "use strict";
  document.documentElement.classList.add("js");
  document.addEventListener("change", ({ target }) => {
    const shapes = target.closest("figure")?.querySelectorAll(`.s${target.dataset.series}`) ?? [];
    for (const shape of shapes) shape.style.display = target.checked ? "" : "none";
  });
})();
