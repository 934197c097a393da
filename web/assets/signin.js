// The sign-in page. Written in ES5 for the oldest webviews still in use.
// Everything it does has a visible way round: the browser door is a plain link.
(function () {
  "use strict";

  var READY = 3000; // ms until dd.ready is not waited for any longer
  var STEP = 6000; // ms for each way to ask for a code: a container may never call back
  var SLOW = 3000; // ms until the page says that it takes longer
  var TRIES = 36; // posts of one code while there is a queue: three minutes, codes live for five
  var POST = 25000; // ms for the post; the server answers well before

  var form = document.getElementById("signin");
  var progress = document.getElementById("progress");
  var again = document.getElementById("again");
  var door = document.getElementById("browser-door");
  if (!form || !progress || !again || !door) {
    return;
  }

  function text(name) {
    return form.getAttribute("data-text-" + name) || "";
  }

  function say(name) {
    progress.textContent = text(name);
  }

  // stop shows the ways to go on by hand; the reason is already said.
  function stop() {
    document.body.className += " stopped";
    again.hidden = !inClient();
    door.className = again.hidden ? "button" : "button quiet";
  }

  // once gives a callback that runs at most one time.
  function once(callback) {
    var done = false;
    return function (value) {
      if (!done) {
        done = true;
        callback(value);
      }
    };
  }

  function inClient() {
    if (/dingtalk/i.test(navigator.userAgent)) {
      return true;
    }
    var platform = window.dd && window.dd.env && window.dd.env.platform;
    return !!platform && platform !== "notInDingTalk";
  }

  // keepFragment carries what stands behind the hash through the login.
  function keepFragment() {
    var fragment = String(window.location.hash || "").replace(/^#/, "");
    if (!fragment || fragment.length > 1024) {
      return;
    }
    form.elements.fragment.value = fragment;
    door.href = door.getAttribute("href") + "&fragment=" + encodeURIComponent(fragment);
  }

  function whenReady(next) {
    var go = once(next);
    setTimeout(go, READY);
    if (window.dd && typeof window.dd.ready === "function") {
      try {
        window.dd.ready(function () { go(); });
        return;
      } catch (e) { /* as if it were never ready */ }
    }
    go();
  }

  // ask tries one JSAPI call: callbacks or a promise, whichever answers first.
  function ask(owner, name, options, found, failed) {
    if (!owner || typeof owner[name] !== "function") {
      failed();
      return;
    }
    var over = once(function (result) {
      var code = result && (result.code || result.authCode);
      if (typeof code === "string" && code) {
        found(code);
      } else {
        failed();
      }
    });
    setTimeout(function () { over(null); }, STEP);
    options.onSuccess = options.success = over;
    options.onFail = options.fail = function () { over(null); };
    try {
      var promise = owner[name](options);
      if (promise && typeof promise.then === "function") {
        promise.then(over, function () { over(null); });
      }
    } catch (e) {
      over(null);
    }
  }

  function askCode(found, failed) {
    var corp = form.getAttribute("data-corp");
    var client = form.getAttribute("data-client");
    var dd = window.dd;
    ask(dd, "requestAuthCode", { corpId: corp, clientId: client }, found, function () {
      var legacy = dd && dd.runtime && dd.runtime.permission;
      ask(legacy, "requestAuthCode", { corpId: corp }, found, failed);
    });
  }

  // own allows only a path of this site as the next address.
  function own(address) {
    return typeof address === "string" && /^\/(?![\/\\])/.test(address);
  }

  function body() {
    var names = ["state", "nonce", "code", "fragment"];
    var pairs = [];
    for (var i = 0; i < names.length; i++) {
      pairs.push(names[i] + "=" + encodeURIComponent(form.elements[names[i]].value));
    }
    return pairs.join("&");
  }

  var tries = 0;

  function post(code) {
    form.elements.code.value = code;
    tries++;
    if (tries === 1) {
      say("post");
    }
    var slow = setTimeout(function () { say(tries === 1 ? "slow" : "queue"); }, SLOW);
    var request = new XMLHttpRequest();
    var finish = once(function () {
      clearTimeout(slow);
      var answer = null;
      try {
        answer = JSON.parse(request.responseText);
      } catch (e) { /* no answer of ours */ }
      if (answer && answer.retry > 0 && tries < TRIES) {
        say("queue");
        setTimeout(function () { post(code); }, answer.retry * 1000 * (0.5 + Math.random()));
        return;
      }
      if (answer && own(answer.location)) {
        window.location.replace(answer.location);
        return;
      }
      say("network-failed");
      stop();
    });
    request.open("POST", form.getAttribute("action"), true);
    request.setRequestHeader("Content-Type", "application/x-www-form-urlencoded");
    request.setRequestHeader("Accept", "application/json");
    request.timeout = POST;
    request.onload = request.onerror = request.ontimeout = request.onabort = finish;
    request.send(body());
  }

  function clientDoor() {
    again.hidden = true;
    door.className = "button quiet";
    document.body.className = document.body.className.replace(/ stopped/g, "");
    say("progress");
    whenReady(function () {
      askCode(post, function () {
        say("client-failed");
        stop();
      });
    });
  }

  function browserDoor() {
    say("browser");
    window.location.replace(door.href);
  }

  keepFragment();
  again.onclick = clientDoor;
  window.onpageshow = function (event) {
    if (event.persisted) { // back from the history: the state may be used by now
      window.location.reload();
    }
  };
  if (form.getAttribute("data-auto") !== "on") {
    stop();
  } else if (inClient()) {
    clientDoor();
  } else {
    browserDoor();
  }
})();
