"""A notebook in jupytext's percent form; see the first cell."""

# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # A first screen
#
# From an AnnData file to ranked hits. The bundled screen has 8,000 cells, 60 genes with four CRISPR guides
# each, 20 non-targeting guides and days 0, 2, 4 and 6; one gene in four has an effect. Open this file in
# Jupyter (`jupytext --to notebook examples/first_screen.py`) or run it with Python.

# %%
import fatebias as fb

adata, guides = fb.demo_files()
screen = fb.read_screen(adata, guides=guides)
print(screen.N, "cells,", screen.L, "genes,", "days", ", ".join(screen.day_labels))

# %% [markdown]
# The preset `calibrated` takes the weight of a soft label from the data and hands mash effects that the
# random walk has not shrunk. `inference="laplace"` is quick; leave it out for the default, which refines
# it by SVI.

# %%
fit = fb.fit(screen, preset="calibrated", inference="laplace", progress=False)
print(f"one cell counts {fit.likelihood_weight:.1f} times; converged: {fit.converged}")
print(fit.effects.head())

# %% [markdown]
# Which genes push cells towards MES rather than EC, and on which days? `lfsr_min` is the smallest local false
# sign rate over the days: the probability that the sign of the effect is wrong.

# %%
hits = fb.discover(fit, engine="native")
print(hits.table[["gene", "best_day", "lfsr_min", "hit_anyday"]].head(10))
print(hits.calls[["gene", "active_days", "course", "flip_days"]].head(10))

# %%
axes = fb.pl.hits(hits)
print("drawn:", axes.get_title(loc="left"))  # axes.figure shows it in Jupyter, axes.figure.savefig writes it

# %% [markdown]
# Further fates come from the same fit.

# %%
neural = fb.discover(fit, engine="native", contrasts=["NEU"]).further["NEU"]
print(int(neural.table["hit_anyday"].sum()), "genes change NEU against EC")
