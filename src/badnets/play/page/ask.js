// Questions to the server: one at a time while a sticker moves, and the latest wins.

export const page = crypto.randomUUID().replaceAll("-", "");
const gone = document.getElementById("gone");
let waiting = false;

export class Refused extends Error {}

export async function ask(name, body = {}) {
  let answer;
  try {
    answer = await fetch(`ask/${name}`, {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
    });
  } catch {
    lost();
    throw new Refused("");
  }
  back();
  if (answer.status === 404) {
    gone.textContent = "Another badnets play answers here now: open the address that it has printed.";
    gone.hidden = false;
    throw new Refused("");
  }
  const said = await answer.json().catch(() => ({ problem: "the server has said something that is no answer" }));
  if (answer.status === 409) return null; // overtaken by a newer question
  if (!answer.ok) throw new Refused(said.problem);
  return said;
}

let again = () => {};
export const onReturn = (act) => { again = act; };

function lost() {
  gone.textContent = "The server is gone: start badnets play again, or wait; this page looks for it every second.";
  gone.hidden = false;
  if (waiting) return;
  waiting = true;
  const look = setInterval(async () => {
    try {
      await fetch("icon.svg", { cache: "no-store" });
    } catch { return; }
    clearInterval(look);
    waiting = false;
    back();
    again();
  }, 1000);
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
