// One run: where it stands, whom it waits for, and what it gave.

import { ask, post, refusal, watch, Refused } from "./api.js";
import { make } from "./form.js";
import { words } from "./words.js";

const ENDED = ["completed", "failed", "cancelled"];

export class Run {
  // `over` is called when it has ended.
  constructor(task, schema, { lost, over }) {
    this.task = task;
    this.schema = schema;
    this.over = over;
    this.stop = new AbortController();
    this.people = new Map();
    this.status = make("span", { className: "status", id: "status", role: "status" });
    this.time = make("span", { className: "seconds" });
    this.cancel = make("button", { type: "button", className: "push" }, words.cancel);
    this.cancel.addEventListener("click", () => this.act("cancel", {}));
    this.problem = make("p", { className: "bad", role: "alert" });
    this.rows = make("tbody");
    const heads = [words.job, words.state, words.seconds];
    this.jobs = make("table", { className: "jobs" },
      make("thead", {}, make("tr", {},
        ...heads.map((head, at) => make("th", { scope: "col", className: at === 2 ? "seconds" : "" }, head)))),
      this.rows);
    this.persons = make("div");
    this.result = make("div", { "aria-live": "polite" });
    this.element = make("div", {},
      make("section", { className: "card", "aria-label": words.progress },
        make("h3", {}, words.progress),
        make("div", { className: "row" }, this.status, this.time, this.cancel),
        this.problem, this.jobs,
        make("p", { className: "hop" }, `${words.task} ${task}`)),
      this.persons, this.result);
    this.clock = setInterval(() => this.tick(), 100);
    watch(task, (report) => this.tell(report), lost, this.stop.signal).catch((error) => {
      this.end();
      this.problem.textContent = error instanceof Refused && error.status === 404 ? words.gone : error.message;
    });
  }

  // Takes it off the page; the run itself goes on.
  close() {
    this.stop.abort();
    this.end();
  }

  end() {
    clearInterval(this.clock);
    this.cancel.hidden = true;
    this.over();
  }

  async act(verb, body) {
    this.problem.textContent = "";
    try {
      await post(`tasks/${encodeURIComponent(this.task)}/${verb}`, body);
    } catch (error) {
      this.problem.textContent = error.message;
    }
  }

  tell(report) {
    this.report = report;
    this.heard = performance.now();
    this.status.textContent = words.states[report.status] ?? report.status;
    this.status.className = `status ${report.status}`;
    this.cancel.disabled = report.status === "cancelling";
    this.rows.replaceChildren(...report.jobs.map((job) => this.row(job)));
    this.tick();
    this.ask(report.interrupts ?? []);
    if (ENDED.includes(report.status)) {
      this.end();
      this.show(report);
    }
  }

  row(job) {
    const hop = job.waits_for;
    const said = hop && words.hops[hop.kind] ? words.hops[hop.kind](hop) : null;
    const attempt = job.attempt > 1 ? ` (${words.attempt(job.attempt)})` : "";
    return make("tr", { "data-job": job.id },
      make("th", { scope: "row" }, job.name ?? (job.id === "__job__" ? this.schema.title ?? job.id : job.id)),
      make("td", {},
        make("span", { className: job.state }, (words.states[job.state] ?? job.state) + attempt),
        said ? make("span", { className: "hop" }, said) : null),
      make("td", { className: "seconds" }));
  }

  // Between two reports time goes on.
  tick() {
    if (!this.report) return;
    const since = ENDED.includes(this.report.status) ? 0 : (performance.now() - this.heard) / 1000;
    this.time.textContent = `${(this.report.seconds + since).toFixed(1)} s`;
    this.report.jobs.forEach((job, at) => {
      const goesOn = ["running", "delayed", "interrupted"].includes(job.state);
      const seconds = job.seconds === undefined ? "" : (job.seconds + (goesOn ? since : 0)).toFixed(1);
      this.rows.rows[at].lastElementChild.textContent = seconds;
    });
  }

  // A form for each person that is waited for; what is being typed stays.
  ask(interrupts) {
    const left = new Set(this.people.keys());
    for (const interrupt of interrupts) {
      const key = `${interrupt.job_id}/${interrupt.phase}`;
      left.delete(key);
      if (this.people.has(key)) continue;
      const form = this.person(interrupt);
      this.people.set(key, form);
      this.persons.append(form);
      form.querySelector("textarea").focus();
    }
    for (const key of left) {
      this.people.get(key).remove();
      this.people.delete(key);
    }
  }

  person({ job_id: job, message, metadata }) {
    const id = `answer-${job}`;
    const field = make("textarea", { id, "aria-describedby": `${id}-hint` });
    const form = make("form", { className: "card person" },
      make("h3", {}, words.person(job)),
      message ? make("p", {}, message) : null,
      metadata === undefined ? null : make("pre", {}, pretty(metadata)),
      make("div", { className: "field" },
        make("label", { htmlFor: id }, words.answer),
        make("p", { className: "hint", id: `${id}-hint` }, words.answerHint), field),
      make("div", { className: "row" }, make("button", { className: "main" }, words.resume)));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const text = field.value;
      this.act("resume", { job_id: job, answer: text === "" ? null : read(text) });
    });
    return form;
  }

  show(report) {
    const card = make("section", { className: "card", id: "output" });
    this.result.replaceChildren(card);
    if (report.error !== undefined) {
      card.append(make("h3", { className: "bad" }, words.error), make("pre", { className: "bad" }, report.error));
      return;
    }
    if (report.status !== "completed") return card.remove();
    card.append(make("h3", {}, words.output));
    if (report.output !== undefined) card.append(...this.shown(report.output));
    else if (report.output_left_out) this.fetch(card).catch((error) => {
      if (!this.stop.signal.aborted) card.append(make("p", { className: "bad", role: "alert" }, error.message));
    });
    else card.append(make("p", { className: "about" }, words.noOutput));
  }

  shown(output) {
    const pictures = this.schema.output.flatMap((field) => {
      const value = at(output, field.name);
      return typeof value === "string" ? [media(field.type, source(field, value))] : [];
    });
    const text = pretty(output);
    const copy = make("button", { type: "button" }, words.copy);
    copy.addEventListener("click", async () => {
      await navigator.clipboard.writeText(text);
      copy.textContent = words.copied;
    });
    return [...pictures.filter(Boolean), make("pre", { id: "output-text" }, text), make("p", { className: "row" }, copy)];
  }

  // What is too long for a report, or no text, or comes piece by piece.
  async fetch(card) {
    const answer = await ask(`tasks/${encodeURIComponent(this.task)}?output_only=true`, { signal: this.stop.signal });
    if (!answer.ok) throw await refusal(answer);
    if ((answer.headers.get("Content-Type") ?? "").startsWith("text/event-stream")) {
      await this.stream(card, answer.body);
      return;
    }
    const blob = await answer.blob();
    const url = URL.createObjectURL(blob);
    const field = this.schema.output.find((one) => one.name === undefined);
    const kind = field?.type ?? kindOf(new Uint8Array(await blob.slice(0, 12).arrayBuffer()));
    const shown = media(kind, url);
    if (shown) card.append(shown);
    card.append(make("p", {}, make("a", { href: url, download: `output-${this.task}` }, words.download)));
  }

  // Texts one behind the other, lists and objects each on a line.
  async stream(card, body) {
    const text = make("pre", { id: "output-text" });
    card.append(text);
    for await (const event of events(body)) text.append(/^[[{]/.test(event) ? `${event}\n` : event);
  }
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) yield part.split("\n").map((line) => line.replace(/^data: ?/, "")).join("\n");
  }
}

function pretty(value) {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

function read(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function at(value, name) {
  if (name === undefined) return value;
  return name.replaceAll("]", "").split(/[.[]/).reduce((found, step) => found?.[step], value);
}

function media(type, url) {
  if (!url) return null;
  if (type === "image") return make("img", { className: "media", src: url, alt: words.output });
  if (type === "audio") return make("audio", { className: "media", src: url, controls: true });
  if (type === "video") return make("video", { className: "media", src: url, controls: true });
  return null;
}

// What is in base64, as a browser takes it. It looks at the bytes itself.
function source(field, value) {
  if (value.startsWith("data:")) return value;
  if (!/^[A-Za-z0-9+/]+=*$/.test(value)) return null;
  const usual = { image: "png", audio: "mpeg", video: "mp4" }[field.type];
  return usual ? `data:${field.type}/${field.subtype ?? usual};base64,${value}` : null;
}

function kindOf(bytes) {
  const text = String.fromCharCode(...bytes);
  if (/^(\x89PNG|\xff\xd8\xff|GIF8|RIFF....WEBP)/s.test(text)) return "image";
  if (/^(ID3|\xff[\xfb\xf3\xf2]|OggS|fLaC|RIFF....WAVE)/s.test(text)) return "audio";
  return /^....ftyp/s.test(text) ? "video" : null;
}
