"""Write the bundled screen: ``python -m fatebias.data.simulation.demo [FOLDER]``.

8,000 cells, 60 genes with 4 guides each, 20 NTC guides, mean MOI 2, days 0, 2, 4 and 6, two
replicates. One gene in four has an effect: a third of these the same on all days, a third on one day,
a third with a sign that flips. A fixed seed makes it the same on every machine.
"""

from __future__ import annotations

import sys
from pathlib import Path

from fatebias.config import DataConfig, PriorsConfig, SimulateConfig
from fatebias.data.load import DEMO_DIR, GUIDES_CSV, SCREEN_H5AD, TRUTH_CSV
from fatebias.data.simulation.files import write_guide_map, write_h5ad, write_truth
from fatebias.data.simulation.simulate import simulate_raw

# Transcription factors, chromatin regulators and signalling genes of early human development.
GENES = (
    "ARID1A ASCL1 BMP4 BMPR1A BRD4 CDH5 CHD7 CTCF CTNNB1 DNMT3A DNMT3B EOMES EP300 ERG ETV2 EZH2 FGFR1 FLI1 "
    "FOXC1 FOXC2 GATA2 GATA4 GATA6 HAND1 HDAC1 HEY2 KDM6A KDR KLF2 KLF4 LEF1 LMO2 MEF2C MESP1 MIXL1 NODAL "
    "NOTCH1 NR2F2 OTX2 PAX6 POU5F1 RBPJ RUNX1 SMAD1 SMAD2 SMAD4 SMARCA4 SNAI1 SOX17 SOX2 SUZ12 TAL1 TBX6 "
    "TBXT TCF7L1 TEAD1 TWIST1 WNT3 YAP1 ZIC2"
)
SETTINGS = SimulateConfig(
    n_cells=8000,
    n_genes=60,
    guides_per_gene=4,
    n_ntc_guides=20,
    n_days=4,
    n_replicates=2,
    moi=2.0,
    concentration=20.0,
    design="mixed",
    active_share=0.25,
    effect_min=0.6,
    effect_max=1.5,
    sigma_guide=0.15,
    seed=20,
)
DAYS = ("d0", "d2", "d4", "d6")


def make_demo(folder: Path = DEMO_DIR) -> None:
    """Write screen.h5ad, guides.csv and truth.csv to `folder`."""
    data = DataConfig()
    raw, truth = simulate_raw(
        SETTINGS, data, PriorsConfig(), gene_names=tuple(sorted(GENES.split())), day_labels=DAYS
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_h5ad(folder / SCREEN_H5AD, raw, truth, data, "the bundled screen: fatebias.data.simulation.demo")
    write_guide_map(folder / GUIDES_CSV, raw.guide_map)
    write_truth(folder / TRUTH_CSV, truth)


if __name__ == "__main__":
    make_demo(Path(sys.argv[1]) if len(sys.argv) > 1 else DEMO_DIR)
