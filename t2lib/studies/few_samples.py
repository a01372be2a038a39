"""Forecasts of pass@k from few samples, judged on Pythia's counts (chapter 12).

The rules, fixed before the first forecast was looked at:

- *Cases.* Checkpoints of Pythia on GSM8K and MATH whose every question has at least 1,000 samples,
  and of whose questions at least 3 are expected to be answered in 100 samples. Judged at K, the
  smaller of 10,000 and the fewest samples of any question, where the unbiased estimator over all
  samples is the truth.
- *Draws.* 100 samples of each question, drawn without replacement; five times.
- *Error.* ``log10`` of forecast over truth, in decades, its size averaged over the draws of a case.
  A forecast that cannot be made counts as the worst one made in that case, and is counted.
- *One method beats another* where the 95 % interval of the difference of mean errors, over
  resampled models, lies below 0. Seven methods: the unbiased estimator at 100, kept; the plug-in
  ``1 - (1 - c/n)^k``; a power law, ``log(-log pass@k)`` a line in log k through the unbiased
  estimates; the most likely Beta-binomial, without and with a share never solved; the posterior of
  both. The function's default is the last, chosen before.
- *Coverage.* Share of draws whose 95 % interval holds the truth. It holds where the interval of
  that share over resampled models reaches 95 %.
- *Plan.* 50 samples each, then 50 more a question on average: where the plan says, as many for
  each, or for the unanswered ones only. Same total, same law, same comparison.
"""
