"use strict";
// Comfort on top of pages that work without it: jump to a mistake, Ctrl+Enter, do not lose a draft.
(() => {
  const bench = () => document.getElementById("bench");
  let sent = false;

  // Places come in code points; a selection counts UTF-16 units, in which an emoji is two.
  const units = (text, points) => Array.from(text).slice(0, points).join("").length;

  document.addEventListener("click", (event) => {
    const jump = event.target.closest("[data-start]");
    if (!jump) return;
    const area = document.getElementById("query");
    if (!area) return;
    event.preventDefault();
    area.focus();
    area.setSelectionRange(units(area.value, +jump.dataset.start), units(area.value, +jump.dataset.end));
  });

  // An offered word is taken into the query as it stands, without a new page.
  document.addEventListener("click", (event) => {
    const take = event.target.closest("button[name=take]");
    const area = document.getElementById("query");
    if (!take || !area) return;
    event.preventDefault();
    area.value = take.value;
    area.dispatchEvent(new Event("input", { bubbles: true }));
    document.getElementById("offer").click();
    area.focus();
  });

  // The tab that was chosen stays chosen when the preview is counted anew.
  let tab = "";
  document.addEventListener("change", (event) => { if (event.target.name === "tab") tab = event.target.id; });
  document.addEventListener("htmx:after:swap", () => {
    const chosen = tab && document.getElementById(tab);
    if (chosen) chosen.checked = true;
  });

  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.closest("#bench")) {
      const save = document.getElementById("save");
      if (save && !save.disabled) save.click();
    }
  });

  // Time zones are offered by the browser, which knows them all; who signs up begins with their own.
  const zones = document.querySelectorAll("input[name=timezone]");
  if (zones.length && Intl.supportedValuesOf) {
    const list = document.createElement("datalist");
    list.id = "zones";
    for (const name of Intl.supportedValuesOf("timeZone")) list.append(new Option(name, name));
    document.body.append(list);
    for (const one of zones) {
      if (one.id === "zone-new" && one.value === "UTC") one.value = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
    }
  }

  const dirty = () => {
    const form = bench();
    return form && Array.from(form.elements).some((one) =>
      form.contains(one) && (one.tagName === "TEXTAREA" || one.type === "text") && one.value !== one.defaultValue);
  };
  document.addEventListener("submit", () => { sent = true; });
  window.addEventListener("beforeunload", (event) => { if (!sent && dirty()) event.preventDefault(); });
})();
