"use strict";
// sort a table by the column whose heading is pressed; a second press turns the order round
document.querySelectorAll("thead button").forEach((button) => {
  button.addEventListener("click", () => {
    const head = button.closest("th");
    const table = head.closest("table");
    const column = [...head.parentElement.children].indexOf(head);
    const value = (row) => row.children[column].dataset.v ?? row.children[column].textContent;
    const numeric = head.dataset.kind === "number";
    const first = numeric ? "descending" : "ascending";
    const second = numeric ? "ascending" : "descending";
    const order = head.getAttribute("aria-sort") === first ? second : first;
    const sign = order === "ascending" ? 1 : -1;
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => sign * (numeric ? value(a) - value(b) : value(a).localeCompare(value(b))));
    head.parentElement.querySelectorAll("th").forEach((th) => th.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", order);
    table.tBodies[0].append(...rows);
  });
});
// keep the rows whose label holds what is typed
document.querySelectorAll("input[type=search]").forEach((input) => {
  const rows = [...document.getElementById(input.dataset.table).tBodies[0].rows];
  input.addEventListener("input", () => {
    const wanted = input.value.toLowerCase();
    rows.forEach((row) => { row.hidden = !row.children[0].textContent.toLowerCase().includes(wanted); });
  });
});
// the confusion matrix: cross-hairs through a cell, and its figures in words above the map
document.querySelectorAll("svg.heat").forEach((map) => {
  const [across, down] = map.querySelectorAll(".cross");
  const readout = map.parentElement.querySelector(".readout");
  map.addEventListener("mouseover", ({ target }) => {
    if (target.dataset.r === undefined) return;
    across.setAttribute("y", Number(map.dataset.origin) + target.dataset.r * map.dataset.cell);
    down.setAttribute("x", Number(map.dataset.origin) + target.dataset.c * map.dataset.cell);
    readout.textContent = target.querySelector("title").textContent;
  });
});
