"""Several exported policies as one: what they agree on, inside one ONNX graph."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import onnx
from jax2onnx import to_onnx
from onnx import compose

from cappuccino.artifact.agreement import agreed
from cappuccino.errors import InputError

OPSET = 21
WEIGHTS, OUTPUT = "weights", "targets"


def combined(models: Sequence[onnx.ModelProto], agreement: float = 0.0) -> onnx.ModelProto:
    """A graph whose targets are what `agreement.agreed` makes of those of all models, each given the same window and weights.

    Raises InputError for no model, for an agreement that is no share, and where inputs or outputs differ between models in name, type
    or shape.
    """
    if not 0 <= agreement <= 1:
        raise InputError(f"agreement is {agreement}; a share from 0 to 1 is right")
    if not models:
        raise InputError("there is no model to combine; give at least one")
    for number, model in enumerate(models[1:], start=1):
        if _interface(model) != _interface(models[0]):
            raise InputError(
                f"model {number} takes and gives {_said(model)}, the first {_said(models[0])}; only policies of the same look-back, "
                "assets and features can be combined"
            )
    if len(models) == 1:
        return models[0]
    members = [compose.add_prefix(model, f"member_{number}/", rename_inputs=False) for number, model in enumerate(models)]
    whole = onnx.ModelProto()
    whole.CopyFrom(members[0])
    for part in (*members[1:], _head([member.graph.output[0].name for member in members], models[0], agreement)):
        whole.graph.node.extend(part.graph.node)
        whole.graph.initializer.extend(part.graph.initializer)
        whole.graph.value_info.extend(part.graph.value_info)
        whole.functions.extend(part.functions)
        _add_opsets(whole, part)
    del whole.graph.output[:]
    whole.graph.output.extend(models[0].graph.output)
    whole.graph.name = models[0].graph.name
    onnx.checker.check_model(whole)
    return whole


def _head(members: Sequence[str], model: onnx.ModelProto, agreement: float) -> onnx.ModelProto:
    """The graph from the members' targets, by name, and the weights to what they decide together."""
    of_model = {value.name: value for value in (*model.graph.input, *model.graph.output)}
    (assets,) = (dim.dim_value for dim in of_model[OUTPUT].type.tensor_type.shape.dim)
    head = to_onnx(
        lambda weights, *targets: agreed(jnp.stack(targets), weights, agreement, xp=jnp),
        [jax.ShapeDtypeStruct((assets,), jnp.float32)] * (1 + len(members)),
        model_name="head",
        opset=OPSET,
        input_names=[WEIGHTS, *members],
        output_names=[OUTPUT],
    )
    return compose.add_prefix(head, "head/", rename_inputs=False, rename_outputs=False)


def _add_opsets(whole: onnx.ModelProto, member: onnx.ModelProto) -> None:
    known = {opset.domain: opset.version for opset in whole.opset_import}
    for opset in member.opset_import:
        if known.setdefault(opset.domain, opset.version) != opset.version:
            raise InputError(
                f"a model was exported with operators {opset.domain or 'ai.onnx'} {opset.version}, another with "
                f"{known[opset.domain]}; export them again with one version"
            )
        if opset.domain not in {one.domain for one in whole.opset_import}:
            whole.opset_import.append(opset)


def _interface(model: onnx.ModelProto) -> list[tuple[str, int, tuple[int, ...]]]:
    return [
        (
            value.name,
            value.type.tensor_type.elem_type,
            tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim),
        )
        for value in (*model.graph.input, *model.graph.output)
    ]


def _said(model: onnx.ModelProto) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, _, shape in _interface(model))
