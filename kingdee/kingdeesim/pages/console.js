"use strict";
// The console's page calls, as the HTML5 client makes them: see the reference,
// section 6. Every address is relative, so that the page works wherever it is
// shown; EntryPageUrl is the address in the browser's bar.
(function () {
  const page = document.getElementById("parts").dataset;
  const service = "../Kingdee.BOS.ServiceFacade.ServicesStub.DynamicForm.DynamicFormService.";
  const utf8 = new TextEncoder();
  const at = (id) => document.getElementById(id);
  const hex = (n) => n.toString(16).padStart(8, "0");
  let tamper = null; // what pvfgsdhsfg_cfg said
  let heard = 0; // number of the latest notice
  let socket = null;

  const table = Array.from({ length: 256 }, (_, n) => {
    for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
    return n >>> 0;
  });
  function crc(bytes, before = 0) {
    let c = ~before;
    for (const b of bytes) c = table[(c ^ b) & 255] ^ (c >>> 8);
    return ~c >>> 0;
  }

  function show(id, state, text) {
    at(id).dataset.state = state;
    at(id).textContent = text;
  }
  // on runs a part when its button is clicked and shows what came of it.
  function on(button, result, act) {
    at(button).addEventListener("click", () => run(result, act));
  }
  async function run(result, act) {
    show(result, "busy", "处理中…");
    try {
      show(result, "ok", "成功 " + (await act()));
    } catch (err) {
      show(result, "failed", "失败 " + err.message);
    }
  }

  // unpack reads a reply: JSON, or Base64 of gzip of JSON.
  async function unpack(text) {
    if (text.startsWith("{")) return JSON.parse(text);
    let raw;
    try {
      raw = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    } catch {
      throw new Error(text.slice(0, 200));
    }
    const plain = new Blob([raw]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(plain).text());
  }
  async function answer(response) {
    const reply = await unpack(await response.text());
    if (!reply.IsSuccess) throw new Error(reply.Message);
    return reply.Result;
  }

  function fields(args) {
    const nonce = Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
    const timestamp = String(Date.now());
    const form = new URLSearchParams();
    args.forEach((arg, i) => form.set("ap" + i, arg));
    form.set("nonce", nonce);
    form.set("v", "1.0");
    form.set("format", "1");
    form.set("sign", hex(crc(utf8.encode([nonce, timestamp, ...args].join("\n")))));
    form.set("timestamp", timestamp);
    form.set("compressed", "false");
    form.set("compressedapx", "");
    form.set("useragent", "KD.HTML5.GZIP");
    form.set("clientinfo", JSON.stringify({ ClientType: 16, EntryPageUrl: location.href, Lcid: 2052 }));
    return form.toString();
  }
  // call makes one page call; extra are further headers.
  async function call(method, args, extra = {}) {
    const body = fields(args);
    const headers = {
      "csrf-token": page.csrf,
      "kdbiz-info": JSON.stringify({ formId: page.form, pageId: page.page }),
      "accept-encoding_wpf": "gzip",
      "content-type": "application/x-www-form-urlencoded; charset=UTF-8",
      ...extra,
    };
    if (tamper && tamper.enableFlatShake) {
      const covered = ["csrf-token", "kdbiz-info", "accept-encoding_wpf", "content-type"].map((name) => headers[name] + "\n").join("");
      headers.pvfgsdhsfg = tamper.checksumvn + ":" + hex(crc(utf8.encode(body), crc(utf8.encode(covered))));
    }
    const response = await fetch(service + method + ".common.kdsvc", { method: "POST", headers, body });
    const told = response.headers.get("pvfgsdhsfg_cfg");
    tamper = told ? JSON.parse(told) : null;
    return answer(response);
  }

  const text = "你好 & <K3Cloud> + 100%";
  async function echo(wish, times) {
    const got = await call("InvokeAction", [text, JSON.stringify(wish)]);
    if (got.Echo !== text.repeat(times)) throw new Error("回复已被改动");
    return got.Echo.length + " " + text;
  }
  on("call", "call-result", () => echo({}, 1));
  on("call-compressed", "call-result", () => echo({ reply: "gzip", repeat: 1000 }, 1000));
  on("check", "check-result", async () => {
    const sent = { "accept-encoding_wpf": "gzip", "x-trace-unknown": "value, with; marks=" + Date.now() };
    const got = await call("CheckHeaders", [JSON.stringify(sent)], sent);
    return got.Arrived.join(" ");
  });

  on("poll", "poll-result", async () => {
    const started = performance.now();
    const body = new URLSearchParams({ ap0: heard });
    const response = await fetch("../_pr_.kdsvc", { method: "POST", headers: { "csrf-token": page.csrf }, body });
    const news = await answer(response);
    if (news.length) heard = news[news.length - 1].Seq;
    const took = Math.round(performance.now() - started) + " ms";
    return [...news.map((n) => n.Text), took].join(" ");
  });
  at("poll-finish").addEventListener("click", () => call("FinishTask", ["任务完成"]).catch((err) => show("poll-result", "failed", "失败 " + err.message)));

  on("ws", "ws-result", () => new Promise((resolve, reject) => {
    if (socket) socket.close();
    const mine = new WebSocket(new URL("notify.ashx", location.href).href.replace(/^http/, "ws"));
    socket = mine;
    const lines = [];
    mine.onmessage = (event) => {
      lines.push(event.data);
      if (event.data.startsWith("hello ")) mine.send(text);
      if (event.data === "echo " + text) resolve(lines.join(" | "));
      if (event.data.startsWith("notice ")) show("ws-result", "ok", "成功 " + lines.join(" | "));
    };
    mine.onclose = () => {
      reject(new Error("连接已关闭"));
      if (mine === socket) show("ws-result", "closed", "连接已关闭");
    };
  }));

  on("upload", "upload-result", async () => {
    const form = new FormData();
    const chosen = at("upload-file").files[0];
    const bytes = new Uint8Array(300000).map((_, i) => (i * 7) >> 2);
    form.set("file", chosen || new File([bytes], "附件.bin"));
    const response = await fetch("upload.aspx", { method: "POST", headers: { "csrf-token": page.csrf }, body: form });
    const [file] = await answer(response);
    const sum = hex(crc(new Uint8Array(await form.get("file").arrayBuffer())));
    if (file.CRC32 !== sum) throw new Error("文件已被改动");
    return [file.Name, file.Size, file.SHA256].join(" ");
  });

  on("download-check", "download-result", async () => {
    const response = await fetch(at("download-link").getAttribute("href"));
    const bytes = new Uint8Array(await response.arrayBuffer());
    const tail = new TextDecoder().decode(bytes.slice(-8));
    if (tail !== hex(crc(bytes.subarray(0, -8)))) throw new Error("文件不完整");
    return bytes.length + " " + tail;
  });

  on("cookies", "cookie-result", async () => {
    await answer(await fetch("cookies.aspx"));
    const back = await answer(await fetch("cookies.aspx?show=1"));
    return back.join(" ") + " | " + document.cookie.split("; ").map((c) => c.split("=")[0]).filter((n) => n.startsWith("kd") && !n.includes("-")).sort().join(" ");
  });

  on("redirect-check", "redirect-result", async () => {
    const response = await fetch("redirect.aspx?to=own");
    if (!response.redirected || !(await response.text()).includes('data-from="redirect"')) throw new Error("未到达");
    return new URL(response.url).host;
  });

  run("static-result", () => new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = "script/kernel.js";
    script.onload = () => (window.kernelLoaded > 1 << 20 ? resolve(window.kernelLoaded) : reject(new Error("文件不完整")));
    script.onerror = () => reject(new Error("无法加载"));
    document.head.append(script);
  }));
  // The first call learns how to compute the checksum; the buttons wait for it.
  run("page-state", async () => {
    const got = await call("LoadPage", [page.page]);
    heard = got.Seq;
    for (const button of document.querySelectorAll("#parts button")) button.disabled = false;
    return got.User;
  });
})();
