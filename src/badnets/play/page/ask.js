// Questions to the server: one at a time while a sticker moves, and the latest wins.

export const page = crypto.randomUUID().replaceAll("-", "");
const gone = document.getElementById("gone");
let waiting = false;

export class Refused extends Error {}

async function sent(name, body, signal) {
  let answer;
  try {
    answer = await fetch(`ask/${name}`, {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body), signal,
    });
  } catch {
    if (!signal?.aborted) lost();
    throw new Refused("");
  }
  back();
  if (answer.status === 404) {
    anew();
    throw new Refused("");
  }
  return answer;
}

const said = (answer) => answer.json().catch(() => ({ problem: "the server has said something that is no answer" }));

export async function ask(name, body = {}) {
  const answer = await sent(name, body), told = await said(answer);
  if (answer.status === 409) return null; // overtaken by a newer question
  if (!answer.ok) throw new Refused(told.problem);
  return told;
}

// What takes its time comes in lines: how much is done, and the answer last. To abort the signal stops the server too.
export async function askLong(name, body, signal, progress) {
  const answer = await sent(name, body, signal);
  if (!answer.ok) throw new Refused((await said(answer)).problem);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read().catch(() => {
      if (!signal.aborted) lost();
      throw new Refused("");
    });
    if (done) throw new Refused("the server has stopped before the end");
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines.map((one) => JSON.parse(one))) {
      if (line.problem) throw new Refused(line.problem);
      if (line.answer) return line.answer;
      progress(line.done, line.all);
    }
  }
}

let again = () => {};
export const onReturn = (act) => { again = act; };

function lost() {
  gone.textContent = "The server is gone: start badnets play again, or wait; this page looks for it every second.";
  gone.hidden = false;
  if (waiting) return;
  waiting = true;
  const look = setInterval(async () => {
    let answer;
    try {
      answer = await fetch("icon.svg", { cache: "no-store" });
    } catch { return; }
    clearInterval(look);
    waiting = false;
    if (!answer.ok) { anew(); return; }
    back();
    again();
  }, 1000);
}

// Every start has an address of its own, which nobody is told but who sees the terminal.
function anew() {
  gone.textContent = "The server was started anew, and this page is of the old one: open the new address, which stands in the terminal.";
  gone.hidden = false;
}

function back() {
  if (!waiting) gone.hidden = true;
}

// Of what is asked while an answer is under way only the last counts.
export class Latest {
  constructor(show, fail) {
    this.show = show; this.fail = fail; this.busy = false; this.next = null; this.number = Date.now() % 1e9;
  }

  put(question) {
    this.next = question;
    if (!this.busy) this.run();
  }

  async run() {
    this.busy = true;
    while (this.next) {
      const question = { ...this.next, page, number: ++this.number };
      this.next = null;
      try {
        const said = await ask("answer", question);
        if (said) await this.show(said, question);
      } catch (error) {
        if (!(error instanceof Refused)) console.error(error);
        this.fail(error.message, question);
      }
    }
    this.busy = false;
  }
}
