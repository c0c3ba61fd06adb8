
"use strict";
(() => {
  // MLflow shows the page in a sandbox under a blob address, where browsers follow no link into the page.
  if (location.protocol === "blob:") {
    for (const link of document.querySelectorAll('a[href^="#"]')) {
      link.addEventListener("click", (event) => {
        const target = document.getElementById(link.getAttribute("href").slice(1));
        if (!target) return;
        event.preventDefault();
        target.tabIndex = -1;
        target.focus({ preventScroll: true });
        target.scrollIntoView();
      });
    }
  }

  const entries = [...document.querySelectorAll(".entry")].map((element) => ({
    element,
    text: element.textContent.toLowerCase(),
  }));
  const groups = [...document.querySelectorAll(".group")];
  const choices = [...document.querySelectorAll("#filter input[type=radio]")];
  const search = document.getElementById("search");
  const hits = document.getElementById("hits");
  if (!search) return;

  const kind = () => (choices.find((choice) => choice.checked) || { value: "all" }).value;

  function show() {
    const chosen = kind();
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const { element, text } of entries) {
      const isOfKind = chosen === "all" || element.classList.contains(chosen);
      const isHit = isOfKind && words.every((word) => text.includes(word));
      element.hidden = !isHit;
      count += isHit;
    }
    for (const group of groups) group.hidden = !group.querySelector(".entry:not([hidden])");
    hits.textContent = `${count} of ${entries.length} images shown`;
  }

  let waiting = 0;
  search.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(show, 120);
  });
  for (const choice of choices) choice.addEventListener("change", show);
  for (const link of document.querySelectorAll("a[data-kind]")) {
    link.addEventListener("click", () => {
      const choice = choices.find((one) => one.value === link.dataset.kind);
      if (!choice) return;
      choice.checked = true;
      search.value = "";
      show();
    });
  }
  document.getElementById("searching").hidden = false;
  show();
})();
