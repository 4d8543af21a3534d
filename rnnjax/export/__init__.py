"""Trained models for programs without this package: StableHLO, ONNX and safetensors, in folders that say what they are.

``python -m experiments.NAME export --workdir W --to onnx`` writes such a folder, :func:`rnnjax.export.folder.write`
does of a :class:`rnnjax.Predictor`, and ``python -m rnnjax.export FOLDER`` has it answer the sample in it.
:func:`rnnjax.export.onnx_models.layer` makes ONNX of a recurrent layer by itself. Training imports none of this.
"""
