// Answers that were given are kept; a question that nobody waits for any more is given up.

import type { Name, Questions } from "./messages";
import type { Transport } from "./transports";

const KEPT = 400;

export class Store {
  private kept = new Map<string, Promise<unknown>>();
  private asking = new Map<string, AbortController>();

  constructor(private transport: Transport) {}

  /** The answer to a question, now or before; one that failed is asked again. */
  get<N extends Name>(name: N, params: Questions[N][0], signal?: AbortSignal): Promise<Questions[N][1]> {
    const key = `${name} ${JSON.stringify(params)}`;
    const known = this.kept.get(key);
    if (known) {
      this.kept.delete(key);
      this.kept.set(key, known); // the latest used are kept
      return known as Promise<Questions[N][1]>;
    }
    const answer = this.transport.ask(name, params, signal);
    this.kept.set(key, answer);
    answer.catch(() => this.kept.delete(key));
    const oldest = this.kept.keys().next();
    if (this.kept.size > KEPT && !oldest.done) this.kept.delete(oldest.value);
    return answer;
  }

  /** The same for a place that shows one answer at a time: what it asked before is given up. Null if this one is. */
  async latest<N extends Name>(place: string, name: N, params: Questions[N][0]): Promise<Questions[N][1] | null> {
    this.asking.get(place)?.abort();
    const mine = new AbortController();
    this.asking.set(place, mine);
    try {
      const answer = await this.get(name, params, mine.signal);
      return mine.signal.aborted ? null : answer;
    } catch (error) {
      if (mine.signal.aborted) return null;
      throw error;
    }
  }

  /** There is more than before: what was read of the run is asked again. */
  forget(): void {
    this.kept.clear();
  }
}
