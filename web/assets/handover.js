// From the DingTalk client to the system browser: ask for a one-time address,
// let the client open it. Without this script the form shows the address.
(function () {
  "use strict";

  var form = document.getElementById("handover");
  var progress = document.getElementById("progress");
  if (!form || !progress) {
    return;
  }

  function opener() {
    var dd = window.dd;
    if (dd && typeof dd.openLink === "function") {
      return dd;
    }
    return dd && dd.biz && dd.biz.util && typeof dd.biz.util.openLink === "function" ? dd.biz.util : null;
  }

  form.onsubmit = function () {
    var target = opener();
    if (!target) {
      return true; // the plain form
    }
    var request = new XMLHttpRequest();
    request.open("POST", form.getAttribute("action"), true);
    request.setRequestHeader("Content-Type", "application/x-www-form-urlencoded");
    request.setRequestHeader("Accept", "application/json");
    request.timeout = 10000;
    request.onerror = request.ontimeout = function () { form.submit(); };
    request.onload = function () {
      var answer = null;
      try {
        answer = JSON.parse(request.responseText);
      } catch (e) { /* no answer of ours */ }
      if (!answer || typeof answer.url !== "string" || answer.url.indexOf(window.location.protocol + "//" + window.location.host + "/handover/") !== 0) {
        form.submit();
        return;
      }
      progress.textContent = form.getAttribute("data-text-opened") || "";
      var promise = target.openLink({ url: answer.url, onFail: function () { form.submit(); } });
      if (promise && typeof promise.then === "function") {
        promise.then(null, function () { /* onFail has answered */ });
      }
    };
    request.send("wanted=" + encodeURIComponent(form.elements.wanted.value));
    return false;
  };
})();
