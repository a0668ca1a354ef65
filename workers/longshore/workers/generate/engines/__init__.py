"""The engines that run language models, one file each; see :mod:`~longshore.workers.generate.engines.base`."""
