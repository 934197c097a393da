/*
 * Stand-in for the DingTalk client script, served by the simulator. Classic
 * ES5, no eval. It reaches the client by inserting script elements, so a page
 * needs only this origin in its script-src. SETTINGS is filled in per request.
 */
(function (root) {
  'use strict';
  var settings = /*SETTINGS*/{};
  var document = root.document;

  // A page with an AMD loader whose modules nobody asks for (SIM-D38, amd).
  if (settings.mode === 'amd' && typeof root.define !== 'function') {
    root.define = function () {};
    root.define.amd = {};
  }

  function origin() {
    var list = document.getElementsByTagName('script');
    var script = document.currentScript;
    for (var i = list.length - 1; !script && i >= 0; i--) {
      if (/\/jsapi\/dingtalk\.open\.js/.test(list[i].src)) { script = list[i]; }
    }
    return script ? script.src.replace(/\/jsapi\/.*$/, '') : '';
  }

  var base = origin();
  var waiting = root.__dtsim = root.__dtsim || {};
  var serial = 0;

  // One bridge call; done gets ({ok}|{fail}).
  function bridge(op, args, done) {
    var name = 'c' + (new Date()).getTime() + '_' + (++serial);
    var query = 'op=' + op + '&cb=' + name + '&page=' + encodeURIComponent(root.location.href.split('#')[0]);
    for (var key in args) {
      if (Object.prototype.hasOwnProperty.call(args, key) && args[key] !== undefined && args[key] !== null) {
        query += '&' + key + '=' + encodeURIComponent(String(args[key]));
      }
    }
    var script = document.createElement('script');
    function clean() {
      delete waiting[name];
      if (script.parentNode) { script.parentNode.removeChild(script); }
    }
    waiting[name] = function (answer) { clean(); done(answer); };
    script.onerror = function () {
      clean();
      done({ fail: { errorCode: -1, errorMessage: 'simulator bridge unreachable' } });
    };
    script.async = true;
    script.src = base + '/jsapi/bridge?' + query;
    (document.head || document.documentElement).appendChild(script);
  }

  // Calls back and, where the browser has promises, returns one. A page that
  // uses callbacks only must not see an unhandled rejection.
  function call(options, start) {
    options = options || {};
    var settle = { ok: null, fail: null };
    var promise = typeof root.Promise === 'function' ? new root.Promise(function (ok, fail) {
      settle.ok = ok; settle.fail = fail;
    }) : undefined;
    var called = options.onSuccess || options.onFail || options.success || options.fail;
    if (promise && called) { promise['catch'](function () {}); }
    start(function (answer) {
      if (answer.fail) {
        var onFail = options.onFail || options.fail;
        if (typeof onFail === 'function') { onFail(answer.fail); }
        if (settle.fail) { settle.fail(answer.fail); }
        return;
      }
      var onSuccess = options.onSuccess || options.success;
      if (typeof onSuccess === 'function') { onSuccess(answer.ok); }
      if (settle.ok) { settle.ok(answer.ok); }
    });
    return promise;
  }

  function requestAuthCode(options) {
    return call(options, function (done) {
      if (settings.mode === 'silent' || settings.mode === 'not-ready') { return; }
      if (settings.platform === 'notInDingTalk') {
        root.setTimeout(function () {
          done({ fail: { errorCode: 7, errorMessage: 'not in DingTalk' } });
        }, 0);
        return;
      }
      bridge('requestAuthCode', { corpId: options && options.corpId, clientId: options && options.clientId }, done);
    });
  }

  // PC hands over to the system browser unless told to stay inside; mobile
  // opens the client's own (SIM-D46).
  function openLink(options) {
    return call(options, function (done) {
      var url = options && options.url;
      if (settings.inside) {
        done({ ok: {} });
        root.location.href = url;
        return;
      }
      var outside = base + '/workbench/external?url=' + encodeURIComponent(url);
      var opened = root.open(outside, '_blank');
      if (!opened) { // the client has no pop-up blocker, this browser may have
        root.location.href = outside;
        return;
      }
      opened.opener = null;
      bridge('openLink', { url: url }, done);
    });
  }

  var onError = [];
  var dd = {
    env: { platform: settings.platform, version: settings.version, appType: 'web' },
    version: settings.version,
    ready: function (callback) {
      if (settings.mode === 'not-ready') { return; }
      root.setTimeout(callback, 0);
    },
    error: function (callback) { onError.push(callback); },
    config: function (options) {
      options = options || {};
      bridge('config', {
        agentId: options.agentId, corpId: options.corpId, timeStamp: options.timeStamp,
        nonceStr: options.nonceStr, signature: options.signature
      }, function (answer) {
        for (var i = 0; answer.fail && i < onError.length; i++) { onError[i](answer.fail); }
        if (!answer.fail && typeof options.onSuccess === 'function') { options.onSuccess(answer.ok); }
      });
    },
    openLink: openLink,
    biz: { util: { openLink: openLink } },
    runtime: { permission: { requestAuthCode: requestAuthCode } }
  };
  if (settings.mode !== 'legacy-only') { dd.requestAuthCode = requestAuthCode; }

  // UMD, as the vendor's file: with an AMD loader window.dd is never set.
  if (typeof root.define === 'function' && root.define.amd) {
    root.define([], function () { return dd; });
  } else {
    root.dd = dd;
  }
})(window);
