"""The sections of the transition page: which a run can fill, what each was computed from, and why one is left out."""

from html import escape

import plotly.graph_objects as go

from probe.report.data import ReportData
from probe.report.fits import fit_figure
from probe.report.foresight import foresight_figure, foresight_sentences
from probe.report.fraction import fraction_figure, law_text
from probe.report.leads import lead_figure, lead_text
from probe.report.page import Panel, Section
from probe.report.phase_map import phase_map_figure
from probe.report.sections import source_of
from probe.report.timeline import LEAST_SHARE, timeline_figure
from probe.report.transition_tables import fits_table, outcomes_table
from probe.scaling.fits import fit_table
from probe.scaling.foresight import MIN_RUNS, foresight
from probe.scaling.fractions import MIN_FRACTIONS, fraction_laws, same_but
from probe.scaling.leads import RunLeads, leads_over_runs
from probe.scaling.outcomes import outcomes

LIU = "Liu et al. 2022, arXiv 2205.10343"
ALL = "all runs"
MAX_CHOICES = 24
MAX_SIZES_IN_WORDS = 8
_RULE = (
    "The way of a measure goes from its value at memorization (train accuracy ≥ .99) to the mean of the last tenth of"
    " the steps; its date is where its closest monotone curve has covered half of it."
)
_SECOND = ("logit FVE", "logit FVE (irreps)", "sum of squared weights", "test loss")


def timeline_section(data: ReportData, runs: RunLeads) -> Section:
    title = "When each thing happened"
    reasons = _not_dated(data, runs)
    table = runs.transitions
    drawable = [model for model in table["model"] if model in runs.dated and runs.dated[model].start is not None]
    if not drawable:
        return Section("timeline", title, missing=(f"{title}: no run is dated.", *reasons))
    groups = {}
    for size, group in table[table["model"].isin(drawable)].groupby("size", sort=False):
        if len(group) > 1:
            groups[f"{size}: median of {len(group)} runs"] = list(group["model"])
    groups |= {model: [model] for model in drawable}
    drawn = {name: timeline_figure(data.results, runs, models) for name, models in list(groups.items())[:MAX_CHOICES]}
    more = len(groups) - len(drawn)
    caption = (
        f"{source_of(data)} A row per measure, earliest first; the height of a line is the share of its way that it has"
        f" covered. {_RULE} Diamonds: dates, with 95 % intervals (of a median: bootstrap over its runs, the range of"
        " few). Small numbers: the value at memorization → at the last step, of several runs the medians of both. A"
        " row without a diamond shows no transition after memorization; it is grey and flat if its way is also less"
        f" than half of what it spans, or than {LEAST_SHARE:g} of a share, as that of mere noise is. Lines are cut .15"
        " beyond the way."
        f"{f' {more} more are not offered.' if more else ''}"
    )
    panel = Panel("timeline", "All measures on one axis", caption, drawn, "Runs", _most_telling(groups, drawn, runs))
    return Section("timeline", title, (panel,), reasons)


def leads_section(data: ReportData, runs: RunLeads) -> Section:
    title = "What moved first"
    groups, table = {ALL: list(runs.dated)}, runs.transitions
    sizes = table[table["model"].isin(list(runs.dated))].groupby("size", sort=False)["model"].agg(list)
    if 1 < len(sizes) < MAX_CHOICES:
        groups |= {str(size): models for size, models in sizes.items()}
    of_group = {name: runs.of(models) for name, models in groups.items()}
    of_group = {
        name: mine for name, mine in of_group.items() if any(run.accuracy is not None for run in mine.dated.values())
    }
    if not of_group:
        return Section("leads", title, missing=(f"{title}: no dated run generalized, so there is no lead.",))
    drawn = {name: lead_figure(mine) for name, mine in of_group.items()}
    censored = sum(run.accuracy is None for run in runs.dated.values())
    late = (
        f" {censored} of {len(runs.dated)} runs did not generalize within their budget (or not after memorization);"
        " they say nothing of a lead and are left out, so this is the lead of runs that generalize in time."
        if censored
        else ""
    )
    caption = (
        f"{source_of(data)} Lead: date of test accuracy minus date of the measure. {_RULE} Bars: 95 % bootstrap"
        " interval of the median over runs, the range of the runs where they are few; of one run, the interval of its"
        " own dates."
        " A run in which the measure shows no transition counts as later than all others; bars that reach it are cut at"
        f" the left edge.{late}"
    )
    panel = Panel("leads", "Lead over test accuracy", caption, drawn, "Runs", next(iter(drawn)))
    named = of_group
    if len(of_group) > MAX_SIZES_IN_WORDS + 1:
        named = {name: mine for name, mine in of_group.items() if name == ALL}
    n = len(runs.dated)
    said = f"{n - censored} of {n} runs generalized after they had memorized. Of these, by median lead:"
    body = f"<p>{said}</p>{''.join(_in_words(name, mine) for name, mine in named.items())}"
    return Section("leads", title, (panel,), body=body)


def fits_section(data: ReportData) -> Section:
    title = "Dates by a logistic fit"
    held = set(data.results[["probe", "metric"]].itertuples(index=False, name=None))
    second = next(name for name in _SECOND if _is_held(name, held))
    table = fit_table(data.results, ("test accuracy", second))
    if table.empty:
        return Section("fits", title, missing=(f"{title}: no curve was evaluated 10 times or more.",))
    models = list(table["model"].unique())
    drawn = {model: fit_figure(data.results, table, model) for model in models[:MAX_CHOICES]}
    more = len(models) - len(drawn)
    height = (table["after"] - table["before"]).abs().where(table["date"].notna(), 0.0)
    accuracy = height[table["measure"] == "test accuracy"].groupby(table["model"]).max()
    start = max(drawn, key=lambda model: accuracy.get(model, 0.0))
    from_memorization = f", {second} from memorization on" if second in set(table["measure"]) else ""
    caption = (
        f"{source_of(data)} Logistic in log(step + 1), fitted to the evaluations by generalized least squares with"
        f" autocorrelated deviations{from_memorization}; dashed: the date of half the way, shaded: its 95 % interval."
        " No curve is drawn"
        " where a constant or a line describes the evaluations as well, or half of the way lies beyond them."
        f"{f' {more} more models are in the table only.' if more else ''}"
    )
    panel = Panel("fits", "Logistic fits", caption, drawn, "Model", start)
    return Section("fits", title, (panel,), body=fits_table(table))


def outcome_section(data: ReportData) -> Section:
    title, settings = "Which runs generalize", data.settings
    found = outcomes(data.results)
    if found.empty:
        models = data.results["model"].unique()
        all_trained = len(models) > 0 and all(_holds_nothing_out(data, str(model)) for model in models)
        reason = _NO_TEST if all_trained else "train or test accuracy was not measured"
        return Section("outcomes", title, missing=(f"{title}: {reason}.",))
    gap = found["gap"].iloc[0]
    counts = found["phase"].value_counts()
    said = ", ".join(f"{counts[name]} {name}" for name in _PHASES if name in counts)
    rule = (
        f"{LIU}, table 1, with a gap of {gap:,.0f} steps: grokking, test accuracy reached .9 {gap:,.0f} steps or more"
        " after train accuracy; comprehension, sooner; memorization, only train accuracy reached it; confusion, neither"
        " did. Memorization and confusion are of the budget: more steps may change them."
    )
    body = f'<p class="headline">{len(found)} runs: {escape(said)}.</p><p>{escape(rule)}</p>{outcomes_table(found)}'
    panels = []
    mapped = settings[settings.index.isin(found["model"])]
    varied = [c for c in ("learning_rate", "weight_decay") if c in mapped and mapped[c].nunique() > 1]
    if varied and {"train_fraction", "learning_rate", "weight_decay"} <= set(mapped):
        mapped = mapped.dropna(subset=["train_fraction", "learning_rate", "weight_decay"])
        others = same_but(mapped, "train_fraction", "learning_rate", "weight_decay", "seed")
        drawn = {
            name: phase_map_figure(found[found["model"].isin(models)], settings) for name, models in others.items()
        }
        caption = (
            f"{source_of(data)} A cell per learning rate and weight decay, each axis evenly spaced over the values that"
            f" were trained. {rule} Point at a cell for its dates."
        )
        panels.append(Panel("phases", "Learning phases", caption, drawn, "Runs", next(iter(drawn))))
    return Section("outcomes", title, tuple(panels), body=body)


def fractions_section(data: ReportData, runs: RunLeads) -> Section:
    title, settings = "Against the train fraction", data.settings
    if "train_fraction" not in settings or settings["train_fraction"].nunique() < MIN_FRACTIONS:
        reason = f"{title}: the models have fewer than {MIN_FRACTIONS} different train fractions."
        return Section("fractions", title, missing=(reason,))
    laws = fraction_laws(runs.transitions, settings)
    if not laws:
        reason = f"{title}: no runs that differ in it alone generalized."
        return Section("fractions", title, missing=(reason,))
    drawn = {law.name or ALL: fraction_figure(law) for law in laws[:MAX_CHOICES]}
    caption = (
        f"{source_of(data)} A point per run: first of 3 consecutive evaluations with test accuracy ≥ .99; open: not"
        " within its budget, drawn at the last step, and in the fit a run that takes longer than that. Law: log t ="
        " log c - alpha log(f - f_c) with normal scatter, maximum likelihood; shaded: profile interval (95 %) of f_c,"
        " below which no run would ever generalize. Bar at the foot: between these fractions the share of runs that"
        " generalize within the budget crosses one half, whatever the law."
    )
    panel = Panel("fractions", "Time to generalize", caption, drawn, "Runs", next(iter(drawn)))
    more = len(laws) - len(drawn)
    missing = (f"{more} more sets of runs are not drawn.",) if more else ()
    words = (f"{law.name}: {law_text(law)}" if law.name else law_text(law) for law in laws)
    body = f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in words)}</ul>"
    return Section("fractions", title, (panel,), missing, body=body)


def foreseen_section(data: ReportData, runs: RunLeads) -> Section:
    title = "Was it to be foreseen?"
    accuracy = data.results[(data.results["probe"] == "performance") & (data.results["metric"] == "accuracy")]
    of_both = accuracy[accuracy["key"].isin(["train", "test"])].groupby("model")["key"].nunique()
    if (of_both == 2).sum() < MIN_RUNS:
        reason = f"it takes {MIN_RUNS} runs or more with train and test accuracy to tell"
        return Section("foresight", title, missing=(f"{title} Left out: {reason}.",))
    try:
        found = foresight(data.results, data.settings)
    except ValueError:
        late = runs.transitions["generalized_step"].isna()
        reason = (
            f"{(~late).sum()} of {len(late)} runs generalized, and at no step are there enough runs that have not done"
            " so yet, of which some will and some will not, to learn from and to score on others"
        )
        return Section("foresight", title, missing=(f"{title} Left out: {reason}.",))
    caption = (
        f"{source_of(data)} At each step, of the runs that had not generalized by then: predictions from the last value"
        " and the slope of each measure so far, fitted on other runs (5 folds; runs that differ in their seed alone are"
        " held out together where that leaves 5 groups). Whether: logistic regression; when: linear in the log of the"
        " remaining steps, with those that had not generalized at the end censored. Bands: 95 % intervals over"
        " resampled groups, of fitted models that are held fixed. Measures that need the key frequencies"
        " of the last step are not used."
    )
    panel = Panel("foresight", "Scores of predictions on held-out runs", caption, {"": foresight_figure(found)})
    body = f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in foresight_sentences(found))}</ul>"
    return Section("foresight", title, (panel,), body=body)


def _holds_nothing_out(data: ReportData, model: str) -> bool:
    task = data.questions.get(model)
    return task is not None and bool(task.train_mask.all())


_NO_TEST = "every pair is trained on, so there is no test accuracy"
_PHASES = ("comprehension", "grokking", "memorization", "confusion")


def _not_dated(data: ReportData, runs: RunLeads) -> tuple[str, ...]:
    """A sentence for each reason why runs are not dated."""
    by_reason: dict[str, list[str]] = {}
    for model, reason in runs.left_out.items():
        by_reason.setdefault(_NO_TEST if _holds_nothing_out(data, model) else reason, []).append(model)
    late = [model for model, run in runs.dated.items() if run.start is None]
    if late:
        by_reason["not memorized within the budget, from where on measures are dated"] = late
    return tuple(f"Not dated: {', '.join(models)} ({reason})." for reason, models in by_reason.items())


def _most_telling(groups: dict[str, list[str]], drawn: dict[str, go.Figure], runs: RunLeads) -> str:
    """The first of the drawn groups in which most runs generalized."""

    def share(name: str) -> float:
        return sum(runs.dated[model].accuracy is not None for model in groups[name]) / len(groups[name])

    return max(drawn, key=share)


def _in_words(name: str, runs: RunLeads) -> str:
    texts = "".join(f"<li>{escape(lead_text(row))}</li>" for _, row in leads_over_runs(runs).iterrows())
    if name == ALL:
        return f"<ul>{texts}</ul>"
    return f"<details><summary>{escape(name)}</summary><ul>{texts}</ul></details>"


def _is_held(name: str, held: set[tuple[str, str]]) -> bool:
    from probe.scaling.measures import MEASURES

    return any(measure.name == name and (measure.probe, measure.metric) in held for measure in MEASURES)
