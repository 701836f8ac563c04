// The API at this page's own origin, with the token if one is wanted.

import { words } from "./words.js";

const TOKEN = "adit.token";
const base = new URL("api/", document.baseURI);

// What the API refused, in its own words.
export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

export async function ask(path, options = {}) {
  for (;;) {
    const token = sessionStorage.getItem(TOKEN);
    const headers = new Headers(options.headers);
    if (token) headers.set("Authorization", `Bearer ${token}`);
    const answer = await fetch(new URL(path, base), { ...options, headers, cache: "no-store" });
    if (answer.status !== 401) return answer;
    // Somebody may have given it in the meantime.
    if (sessionStorage.getItem(TOKEN) === token) await askForToken(Boolean(token));
  }
}

export async function json(path, options) {
  const answer = await ask(path, options);
  if (answer.ok) return answer.json();
  throw await refusal(answer);
}

export function post(path, body) {
  return json(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
}

// What an answer says that is none.
export async function refusal(answer) {
  let detail = `${answer.status} ${answer.statusText}`;
  try {
    detail = (await answer.json()).detail ?? detail;
  } catch {
    // Not ours: what stands between us and the server has answered.
  }
  return new Refused(answer.status, detail);
}

// Calls `tell` with where a run stands until it has ended. What breaks off is taken up again.
export async function watch(task, tell, tellLost, signal) {
  for (;;) {
    try {
      const answer = await ask(`tasks/${encodeURIComponent(task)}/watch`, { signal });
      if (!answer.ok) throw await refusal(answer);
      tellLost(false);
      const last = await lines(answer.body, tell);
      if (last && ["completed", "failed", "cancelled"].includes(last.status)) return;
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Refused && error.status < 500) throw error;
    }
    if (signal.aborted) return;
    tellLost(true);
    await new Promise((done) => setTimeout(done, 1000));
  }
}

async function lines(body, tell) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let last = null;
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return last;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    for (const part of parts) {
      last = JSON.parse(part);
      tell(last);
    }
  }
}

let asking = null;

function askForToken(isWrong) {
  asking ??= new Promise((done) => {
    const dialog = document.getElementById("ask");
    const field = document.getElementById("token");
    document.getElementById("token-label").textContent = words.token;
    document.getElementById("token-send").textContent = words.send;
    document.getElementById("token-bad").textContent = isWrong ? words.badToken : "";
    // Without a token there is nothing to see, so it stays.
    dialog.oncancel = (event) => event.preventDefault();
    dialog.onclose = () => {
      sessionStorage.setItem(TOKEN, field.value);
      field.value = "";
      asking = null;
      done();
    };
    dialog.showModal();
  });
  return asking;
}
