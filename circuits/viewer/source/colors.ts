// Colours that are told apart by most eyes, and in grey: a scale for signed numbers and one for shares.

export interface Palette {
  ink: string;
  muted: string;
  line: string;
  page: string;
  node: string;
  accent: string;
  positive: string;
  negative: string;
  zero: string;
}

const LIGHT: Palette = {
  ink: "#1b1f24",
  muted: "#57606a",
  line: "#d0d7de",
  page: "#ffffff",
  node: "#f0f3f6",
  accent: "#0550ae",
  positive: "#b35806",
  negative: "#2166ac",
  zero: "#c9ced4",
};

const DARK: Palette = {
  ink: "#e6edf3",
  muted: "#9aa4af",
  line: "#3a424c",
  page: "#0f1318",
  node: "#222933",
  accent: "#79b8ff",
  positive: "#f59e42",
  negative: "#6cb6ff",
  zero: "#4b5560",
};

export const SERIES = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
export const DASHES = ["", "6 3", "2 3", "8 3 2 3", "1 2", "10 4"];

const dark = matchMedia("(prefers-color-scheme: dark)");

export function palette(): Palette {
  return dark.matches ? DARK : LIGHT;
}

export function onSchemeChange(callback: () => void): void {
  dark.addEventListener("change", callback);
}

function channels(color: string): number[] {
  return [1, 3, 5].map((at) => Number.parseInt(color.slice(at, at + 2), 16));
}

export function between(from: string, to: string, share: number): string {
  const [a, b] = [channels(from), channels(to)];
  const mixed = a.map((value, i) => Math.round(value + (b[i] - value) * share));
  return `#${mixed.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
}

/** Of a score from -1 to 1: grey at 0. Its root, so that what is small is still seen to have a sign. */
export function diverging(score: number, colors: Palette): string {
  const share = Math.min(1, Math.sqrt(Math.abs(score)));
  return between(colors.zero, score < 0 ? colors.negative : colors.positive, share);
}

const VIRIDIS = ["#440154", "#414487", "#2a788e", "#22a884", "#7ad151", "#fde725"];

/** Of a share from 0 to 1, ever lighter. */
export function sequential(share: number): string {
  const at = Math.min(1, Math.max(0, share)) * (VIRIDIS.length - 1);
  const below = Math.min(VIRIDIS.length - 2, Math.floor(at));
  return between(VIRIDIS[below], VIRIDIS[below + 1], at - below);
}

export const SEQUENTIAL = VIRIDIS;
