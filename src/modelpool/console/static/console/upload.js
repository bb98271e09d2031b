/* Files that go on where they broke off: sends what is chosen or dropped in [data-upload] by the tus protocol, then
   sends the form that it stands in with the upload's id instead of the file. Without this script the form brings the
   file itself. A file that is chosen again, also another day, goes on where it stood. */
const tus = window.tus;
const PIECE_BYTES = 32 * 1024 * 1024;
const RETRY_AFTER_MS = [0, 1000, 3000, 5000, 10000, 20000, 30000];
/* Nobody answered, somebody else writes, or the server will be back; a quota that is used up (429, 507) stays so. */
const PASSING = [0, 409, 423, 500, 502, 503, 504];
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];
const EVERY_MS = 250;

function readable(bytes) {
  const power = bytes < 1 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), UNITS.length - 1);
  const value = bytes / 1024 ** power;
  return `${value.toFixed(power && value < 100 ? 1 : 0)} ${UNITS[power]}`;
}

function span(seconds) {
  if (!Number.isFinite(seconds)) return "…";
  if (seconds < 60) return `${Math.ceil(seconds)} s`;
  return seconds < 3600 ? `${Math.ceil(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

function fill(text, values) {
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

class Field {
  constructor(root) {
    this.root = root;
    this.form = root.closest("form");
    this.input = root.querySelector("input[type=file]");
    this.id = root.querySelector("input[name=upload]");
    this.state = root.querySelector(".mp-upload-state");
    this.bar = root.querySelector("progress");
    this.text = root.querySelector("[data-upload-text]");
    this.error = root.querySelector("[data-upload-error]");
    this.name = root.querySelector("[data-upload-name]");
    this.emptyName = this.name.textContent;
    this.upload = null;
    this.listen();
  }

  listen() {
    const on = (attribute, act) => this.root.querySelector(`[${attribute}]`).addEventListener("click", act);
    on("data-upload-pause", () => this.pause());
    on("data-upload-resume", () => this.resume());
    on("data-upload-cancel", () => this.cancel());
    /* Caught on its way down: unfold's own script knows file fields of its forms only, and fails at others. */
    this.root.addEventListener("change", (event) => { event.stopPropagation(); this.chosen(); }, true);
    this.form.addEventListener("submit", (event) => this.submitted(event));
    for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
      this.root.addEventListener(name, (event) => this.dragged(event));
    }
    addEventListener("beforeunload", (event) => { if (this.upload && !this.isPaused) event.preventDefault(); });
    addEventListener("pageshow", (event) => { if (event.persisted) this.reset(); });
  }

  dragged(event) {
    event.preventDefault();
    this.root.classList.toggle("mp-dragged", event.type === "dragenter" || event.type === "dragover");
    if (event.type !== "drop" || this.upload || !event.dataTransfer.files.length) return;
    const only = new DataTransfer();
    only.items.add(event.dataTransfer.files[0]);
    this.input.files = only.files;
    this.chosen();
  }

  chosen() {
    const file = this.input.files[0];
    this.say("");
    if (!file) return this.reset();
    const kinds = this.root.dataset.accept.split(",");
    if (!kinds.some((kind) => file.name.toLowerCase().endsWith(kind.trim()))) {
      this.reset();
      return this.say(this.root.dataset.saysKind);
    }
    this.name.textContent = `${file.name} · ${readable(file.size)}`;
    if ("atOnce" in this.root.dataset && this.form.reportValidity()) this.start(file);
  }

  submitted(event) {
    if (this.id.value) return;
    event.preventDefault();
    const file = this.input.files[0];
    if (file && !this.upload) this.start(file);
  }

  async start(file) {
    this.isPaused = false;
    this.show(this.root.dataset.saysBegun);
    this.upload = new tus.Upload(file, {
      endpoint: this.root.dataset.upload,
      headers: { "X-CSRFToken": this.form.elements.csrfmiddlewaretoken.value, Accept: "application/json" },
      metadata: { filename: file.name, filetype: file.type },
      chunkSize: PIECE_BYTES,
      retryDelays: RETRY_AFTER_MS,
      onShouldRetry: (error) => this.shouldRetry(error),
      onProgress: (sent, size) => this.progressed(sent, size),
      onSuccess: () => this.finished(),
      onError: (error) => this.failed(error),
    });
    const begun = await this.goesOn(this.upload);
    if (begun) {
      this.show(this.root.dataset.saysGoesOn);
      this.upload.resumeFromPreviousUpload(begun);
    }
    this.measure();
    this.upload.start();
  }

  /* Of what this browser began before, what the server still has. */
  async goesOn(upload) {
    const begun = await upload.findPreviousUploads();
    if (!begun.length) return null;
    try {
      const answer = await fetch(`${this.root.dataset.upload}?page_size=500`, { headers: { Accept: "application/json" } });
      if (!answer.ok) return null;
      const there = (await answer.json()).results.map((one) => one.id);
      return begun.find((one) => there.some((id) => one.uploadUrl?.includes(id))) ?? null;
    } catch {
      return begun[0];
    }
  }

  measure() {
    this.began = { at: performance.now(), sent: null };
    this.shownAt = 0;
  }

  progressed(sent, size) {
    this.began.sent ??= sent;
    const now = performance.now();
    if (now - this.shownAt < EVERY_MS) return;
    this.shownAt = now;
    const rate = (sent - this.began.sent) / ((now - this.began.at) / 1000);
    const left = rate > 0 ? (size - sent) / rate : Infinity;
    this.bar.value = size ? sent / size : 1;
    this.show(fill(this.root.dataset.saysSending, {
      sent: readable(sent), size: readable(size), rate: readable(rate), left: span(left),
    }));
  }

  shouldRetry(error) {
    const status = error.originalResponse?.getStatus() ?? 0;
    const again = PASSING.includes(status);
    if (again) this.show(this.root.dataset.saysWaiting);
    return again;
  }

  finished() {
    this.bar.value = 1;
    this.show(this.root.dataset.saysStoring);
    this.state.querySelector(".mp-buttons").hidden = true;
    this.id.value = this.upload.url.split("/").filter(Boolean).pop();
    this.input.disabled = true;
    this.upload = null;
    this.form.requestSubmit();
  }

  failed(error) {
    const status = error.originalResponse?.getStatus() ?? 0;
    let why = error.message;
    try {
      why = JSON.parse(error.originalResponse.getBody()).detail ?? why;
    } catch { /* Not an answer of this server: the client's own words have to do. */ }
    this.reset();
    this.say(status === 401 ? this.root.dataset.saysSignedOut : fill(this.root.dataset.saysFailed, { why }));
  }

  pause() {
    this.upload?.abort();
    this.isPaused = true;
    this.show(this.root.dataset.saysPaused);
    this.buttons(true);
  }

  resume() {
    this.isPaused = false;
    this.buttons(false);
    this.measure();
    this.upload.start();
  }

  async cancel() {
    const upload = this.upload;
    this.reset();
    try {
      await upload?.abort(true);
    } catch { /* What the server keeps of it goes by itself after a while. */ }
  }

  buttons(isPaused) {
    this.root.querySelector("[data-upload-pause]").hidden = isPaused;
    this.root.querySelector("[data-upload-resume]").hidden = !isPaused;
  }

  show(text) {
    this.state.hidden = false;
    this.text.textContent = text;
    this.input.closest("label").hidden = true;
  }

  say(text) {
    this.error.textContent = text;
    this.error.hidden = !text;
  }

  reset() {
    this.upload = null;
    this.input.value = "";
    this.input.disabled = false;
    this.id.value = "";
    this.name.textContent = this.emptyName;
    this.state.hidden = true;
    this.state.querySelector(".mp-buttons").hidden = false;
    this.bar.value = 0;
    this.buttons(false);
    this.input.closest("label").hidden = false;
  }
}

const fields = new WeakSet();

function find(root) {
  for (const one of root.querySelectorAll("[data-upload]")) {
    if (fields.has(one)) continue;
    fields.add(one);
    new Field(one);
  }
}

document.addEventListener("htmx:load", (event) => find(event.detail.elt));
find(document);
