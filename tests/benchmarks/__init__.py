"""Speed claims, each a ratio of things measured side by side in one run: ``make bench``.

``timing``    several contenders timed in turn
``training``  one training step against other ways to take it; an ensemble against its members one by one
``capture``   activations to disk against the bare forward pass, and against a saved cache
``corpus``    counts of terms and pairs against a regex loop, and against splitting the text into words
``linear``    ridge probes of many sites against scikit-learn's RidgeCV, site by site
``start``     imports and the command
"""
