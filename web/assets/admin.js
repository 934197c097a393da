// The console without this script works the same; it only makes hands faster:
// "/" goes to the search field, Escape leaves it, and what asks before it is
// done is asked here where the page says so.
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
})();
