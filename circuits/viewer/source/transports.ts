// How questions reach whoever answers them: over HTTP, or as messages of a notebook's widget (a saved file: recorded.ts).

import type { Name, Questions, Run } from "./messages";

export interface Transport {
  ask<N extends Name>(name: N, params: Questions[N][0], signal?: AbortSignal): Promise<Questions[N][1]>;
  /** Is called when there is more of the run than before. */
  onChange?(known: Run, callback: (run: Run) => void): void;
}

const POLL_MS = 3000;
const POSTED = new Set<Name>(["forward"]);

/** As in an address, names in order; what is not given is left out. */
export function query(params: object): string {
  const given = Object.entries(params).filter(([, value]) => value !== undefined && value !== null);
  given.sort(([a], [b]) => (a < b ? -1 : 1));
  return given.map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(String(value))}`).join("&");
}

export function httpTransport(base = "api/"): Transport {
  const token = new URLSearchParams(location.search).get("token");
  const headers: Record<string, string> = token ? { "X-Token": token } : {};
  const ask: Transport["ask"] = async (name, params, signal) => {
    const posted = POSTED.has(name);
    const asked = query(params);
    const response = await fetch(base + name + (posted || !asked ? "" : `?${asked}`), {
      method: posted ? "POST" : "GET",
      headers: posted ? { ...headers, "Content-Type": "application/json" } : headers,
      body: posted ? JSON.stringify(params) : undefined,
      signal,
    });
    const answer = await response.json().catch(() => ({ error: `the viewer's server said ${response.status}` }));
    if (!response.ok) throw new Error(answer.error ?? `the viewer's server said ${response.status}`);
    return answer;
  };
  return {
    ask,
    onChange(from, callback) {
      let known = from.revision;
      const look = async () => {
        try {
          const run = await ask("run", {});
          if (run.revision !== known) callback(run);
          known = run.revision;
          if (!run.running) return;
        } catch {
          // the server may be back at the next look
        }
        setTimeout(look, POLL_MS);
      };
      setTimeout(look, POLL_MS);
    },
  };
}

/** What of an anywidget model is used. */
export interface WidgetModel {
  get(name: string): unknown;
  set(name: string, value: unknown): void;
  save_changes(): void;
  on(event: string, callback: (message: never) => void): void;
  send(content: unknown): void;
}

export function widgetTransport(model: WidgetModel): Transport {
  const waiting = new Map<string, { resolve(answer: never): void; reject(error: Error): void }>();
  // several views of one widget share its messages
  const mine = Math.random().toString(36).slice(2);
  let asked = 0;
  model.on("msg:custom", (message: { id: string; answer?: never; error?: string }) => {
    const who = waiting.get(message.id);
    if (!who) return;
    waiting.delete(message.id);
    if (message.error === undefined) who.resolve(message.answer as never);
    else who.reject(new Error(message.error));
  });
  return {
    ask(name, params, signal) {
      const id = `${mine}-${asked++}`;
      return new Promise((resolve, reject) => {
        waiting.set(id, { resolve: resolve as (answer: never) => void, reject });
        signal?.addEventListener("abort", () => {
          if (!waiting.delete(id)) return;
          model.send({ cancel: id });
          reject(new DOMException("nobody waits for it any more", "AbortError"));
        });
        model.send({ id, name, params });
      });
    },
  };
}
