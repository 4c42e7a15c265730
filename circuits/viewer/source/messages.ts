// What is asked and answered; circuits/viewer/messages.py says what each field means.

export type Maybe = number | null;

export interface GraphShape {
  sources: string[];
  destinations: string[];
  n_before: number[];
  n_layers: number;
  n_heads: number;
}

export interface ModelEntry {
  name: string;
  n_params: number;
  seed: number | null;
  graph: GraphShape | null;
  steps: number[];
  scored: number[];
}

export interface TaskEntry {
  family: string;
  title: string;
  tokens: string[];
  example: number[];
  n_examples: number;
  mapped: boolean;
}

export interface Run {
  name: string;
  address: string;
  models: ModelEntry[];
  task: TaskEntry | null;
  metric: string | null;
  ablation: string | null;
  stored: boolean;
  live: boolean;
  running: boolean;
  revision: string;
  notes: string[];
}

export interface Curve {
  name: string;
  group: string;
  unit: string;
  step: number[];
  value: Maybe[];
  low: Maybe[] | null;
  high: Maybe[] | null;
}

export interface Curves {
  model: string;
  curves: Curve[];
  dates: Record<string, Maybe>;
}

export interface Scores {
  model: string;
  step: number;
  values: Maybe[];
  inside: boolean[] | null;
  faithfulness: Maybe;
  low: Maybe;
  high: Maybe;
  random: Maybe;
  metric_whole: Maybe;
  metric_none: Maybe;
}

export interface History {
  name: string;
  lines: { model: string; step: number[]; score: Maybe[]; inside: boolean[] | null }[];
}

export interface OperandMap {
  model: string;
  step: number;
  kind: "operands" | "steps";
  row_title: string;
  column_title: string;
  rows: string[];
  columns: string[];
  right: Maybe[][];
  answer: string[][] | null;
  correct: (boolean | null)[][];
  held_out: (boolean | null)[][] | null;
  exposures: Maybe[][] | null;
}

export interface Estimate {
  mean: Maybe;
  low: Maybe;
  high: Maybe;
  n: number;
}

export interface Pattern {
  head: string;
  values: Maybe[][];
}

export interface NodeAnswer {
  model: string;
  step: number;
  node: string;
  example: number;
  tokens: string[];
  pattern: Pattern | null;
  attribution: Estimate | null;
  roles: { name: string; value: Estimate; control: Estimate | null }[];
  spectrum: {
    what: string;
    frequency: number[];
    share: Maybe[];
    key: number;
    circle_x: Maybe[];
    circle_y: Maybe[];
  } | null;
  top: { example: number; tokens: string[]; size: Maybe; correct: boolean }[];
}

export interface EdgeAnswer {
  model: string;
  step: number;
  edge: string;
  metric: string;
  ablation: string;
  values: Maybe[];
  score: Estimate;
  whole: Estimate;
  ablated: Estimate;
  change: Estimate;
}

export interface Prediction {
  token: string;
  probability: Maybe;
  logit: Maybe;
}

export interface ForwardAnswer {
  model: string;
  step: number;
  tokens: string[];
  predictions: Prediction[];
  without: Prediction[];
  lens: { name: string; top: Prediction[]; right: Maybe }[];
  patterns: Pattern[];
}

/** Names of questions, with their parameters and answers. */
export interface Questions {
  run: [Record<string, never>, Run];
  curves: [{ model: string }, Curves];
  scores: [{ model: string; step: number }, Scores];
  history: [{ name: string }, History];
  map: [{ model: string; step: number }, OperandMap];
  node: [{ model: string; step: number; node: string; example?: number }, NodeAnswer];
  edge: [{ model: string; step: number; edge: string }, EdgeAnswer];
  forward: [
    { model: string; step: number; tokens?: number[]; text?: string; other?: number[]; ablated?: string[] },
    ForwardAnswer,
  ];
}

export type Name = keyof Questions;
