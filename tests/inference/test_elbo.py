from functools import partial

import pyro
import pytest
import torch
from pyro.infer import Trace_ELBO
from pyro.infer.autoguide import AutoNormal

from fatebias.data.collapse import collapse
from fatebias.inference.elbo import ReparameterisedELBO
from fatebias.model.design_matrix import DesignMatrix
from fatebias.model.fate_model import fate_model
from fatebias.model.tensors import design_tensors
from fatebias.model.variational import StructuredFamily, cold_init
from tests.screens import NARROW, small_screen


@pytest.mark.parametrize("kind", ["structured", "normal"])
def test_value_and_gradients_are_those_of_trace_elbo(kind):
    design = DesignMatrix(collapse(small_screen(300)))
    tensors = design_tensors(design.rows, dtype=torch.float64)
    model = partial(fate_model, priors=NARROW)
    found = []
    for elbo in (Trace_ELBO(), ReparameterisedELBO()):
        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        generator = torch.Generator().manual_seed(0)
        family = (
            StructuredFamily(design, cold_init(design), generator)
            if kind == "structured"
            else AutoNormal(model)
        )
        family(tensors)  # makes the parameters
        pyro.set_rng_seed(1)
        loss = elbo.loss_and_grads(model, family, tensors)
        grads = {name: value.grad.clone() for name, value in pyro.get_param_store().named_parameters()}
        found.append((loss, grads))
    (loss, grads), (other, others) = found
    assert other == pytest.approx(loss, rel=1e-10)
    assert set(grads) == set(others)
    assert any(grad.abs().max() > 0 for grad in grads.values())
    for name in grads:
        torch.testing.assert_close(others[name], grads[name])
