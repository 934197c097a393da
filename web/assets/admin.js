// The console without this script works the same; it only makes hands faster:
// "/" goes to the search field, Escape leaves it, a form is sent once, and on a
// phone a row of a table stands as lines with names instead of running out of sight.
(function () {
  "use strict";
  document.addEventListener("keydown", function (event) {
    var field = document.querySelector("input[type=search]");
    var typing = /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement && document.activeElement.tagName);
    if (event.key === "/" && field && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      field.focus();
      field.select();
    } else if (event.key === "Escape" && document.activeElement === field) {
      field.blur();
    }
  });
  // A form is sent once: a double click is one act.
  document.addEventListener("submit", function (event) {
    var form = event.target;
    if (form.method !== "post" || form.hasAttribute("data-sent")) {
      if (form.hasAttribute("data-sent")) { event.preventDefault(); }
      return;
    }
    form.setAttribute("data-sent", "");
    window.setTimeout(function () { form.removeAttribute("data-sent"); }, 4000);
  });
  // The style sheet takes a table apart where it is narrow; its cells are named here,
  // and its roles, which a browser forgets with the table's own layout.
  function name(table) {
    var heads = table.tHead ? table.tHead.rows[0].cells : [];
    table.classList.add("rows");
    table.setAttribute("role", "table");
    Array.prototype.forEach.call(table.querySelectorAll("thead, tbody"), function (part) { part.setAttribute("role", "rowgroup"); });
    Array.prototype.forEach.call(heads, function (head) { head.setAttribute("role", head.tagName === "TH" ? "columnheader" : "cell"); });
    Array.prototype.forEach.call(table.rows, function (row) {
      row.setAttribute("role", "row");
      if (row.parentNode === table.tHead) { return; }
      Array.prototype.forEach.call(row.cells, function (cell, at) {
        var bare = !cell.textContent.trim() && !cell.querySelector("input, button, svg, progress, meter");
        cell.setAttribute("role", cell.tagName === "TH" ? "rowheader" : "cell");
        cell.classList.toggle("bare", bare);
        if (cell.colSpan === 1 && heads[at]) { cell.setAttribute("data-label", heads[at].textContent.trim()); }
      });
    });
  }
  function nameAll() {
    Array.prototype.forEach.call(document.querySelectorAll(".wide table:not(.diff)"), name);
  }
  nameAll();
  document.addEventListener("htmx:load", nameAll);
  // On a phone the places are one long line: it begins where one is.
  var here = document.querySelector(".places [aria-current]");
  var places = here && here.closest(".places");
  if (places && places.scrollWidth > places.clientWidth) {
    places.scrollLeft = here.offsetLeft - (places.clientWidth - here.offsetWidth) / 2;
  }
})();
