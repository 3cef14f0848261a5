"""The floors of the house: which part may import which, as tests/test_layout.py reads it."""

# Which places a place may import from, itself included where named. The longest prefix wins.
MAY_IMPORT = {
    "kernels.undo": [],
    "kernels.geometry": [],
    "kernels.loop": [],
    "kernels.reference": ["kernels.reference", "kernels.geometry", "kernels.loop"],
    "kernels.kernel": ["kernels.reference"],
    "kernels.cpu": [
        *("kernels.cpu", "kernels.kernel", "kernels.reference", "kernels.geometry", "kernels.undo"),
        "kernels.loop",
    ],
    "kernels.cuda": [
        *("kernels.cuda", "kernels.kernel", "kernels.reference", "kernels.geometry"),
        *("kernels.loop", "kernels.undo"),
    ],
    "kernels.numba_cuda": ["kernels.numba_cuda", "kernels.reference", "kernels.geometry"],
    "kernels": [],
    "generator": [],
    "array_api": ["array_api", "backend", "engine", "ops"],
    "backend": ["kernels", "backend"],
    "engine": ["backend", "engine", "generator"],
    "ops": ["backend", "engine", "generator", "ops"],
    "ops.protocols.notebook": ["pictures"],
    "ops.indexing.window": ["kernels.geometry"],
    "doctor": ["backend", "kernels"],
    "functional": ["backend", "engine", "ops", "functional"],
    "functional.call": ["backend", "engine", "functional", "nn"],
    "fusion": ["backend", "engine", "fusion", "generator", "kernels.loop", "kernels.reference"],
    "gradcheck": ["backend", "engine", "ops", "functional"],
    "linalg": ["ops"],
    "losses": ["backend", "engine", "losses", "ops"],
    "distributions": ["backend", "distributions", "engine", "ops"],
    "onnx": ["onnx"],
    "onnx.load": ["engine", "generator", "nn.base.module", "onnx.load", "ops"],
    "optim": ["backend", "engine", "generator", "ops", "optim"],
    "training": "backend engine files generator io losses nn.base.undone pictures training".split(),
    "data": ["backend", "engine", "files", "generator", "ops", "data"],
    "files": [],
    "io": ["backend", "engine", "files", "generator"],
    "nn.base.arguments": ["engine", "ops.indexing.window"],
    "nn.base.state": ["backend", "engine"],
    "nn.base.undone": ["backend", "engine", "generator"],
    "nn.base.summary": [
        *("backend", "engine", "inspect.profiler", "inspect.statistics", "nn.base.undone"),
    ],
    "nn.base.patterns": [],
    "nn.base.holder": ["engine", "nn.base.arguments", "nn.base.patterns", "nn.base.state"],
    "nn.base.module": [
        *("backend", "engine", "nn.base.arguments", "nn.base.holder", "nn.base.state"),
        *("nn.base.hooks", "nn.base.summary", "pictures"),
    ],
    "nn.base.gates": ["engine"],
    "nn.base.hooks": ["engine", "nn.base.gates", "nn.base.holder"],
    "nn.base.init": ["backend", "engine", "ops", "nn.base.arguments"],
    "nn": ["backend", "engine", "ops", "nn"],
    "inspect.flops": ["inspect.flops"],
    "inspect": ["backend", "engine", "inspect", "nn.base"],
    "onnx.export": ["backend", "engine", "generator", "nn", "onnx.export", "ops"],
    "signal": ["backend", "engine", "ops"],
    "sklearn": "data engine generator losses nn optim sklearn training".split(),
    "special": ["backend", "engine", "ops", "special"],
    "stats": ["backend", "engine", "ops", "special", "stats"],
    "torch_settings": ["nn", "ops.indexing.window"],
    "einops_backend": ["backend", "engine", "ops"],
    "interchange": "backend engine functional interchange io nn ops torch_settings".split(),
    "warmup": ["backend", "engine", "generator", "losses", "nn", "optim"],
    "pictures": [
        *("backend", "engine", "files", "generator", "pictures", "nn.base.holder"),
        *("nn.base.summary", "nn.base.undone"),
    ],
    "": (
        "backend distributions engine fusion generator ops functional gradcheck losses optim "
        "data io interchange linalg nn doctor pictures signal special stats training warmup "
        "kernels sklearn array_api einops_backend inspect onnx"
    ).split(),
    "examples.learn_cuda": ["kernels.cuda.emulator", "kernels.cuda.machine"],
    "examples.research": ["", "distributions", "nn", "training"],
    "examples.serve": ["", "examples.serve", "nn", "training"],
    "examples.speech": ["", "examples.speech", "nn", "training"],
    "examples": ["", "nn", "training", "examples"],
    "bench.report": [],
    "bench.workloads": [],
    "bench.arena": [],
    "bench.limits": ["bench.arena"],
    "bench.opponents": ["bench.opponents", "bench.workloads", "", "nn"],
    "bench.kernel_rows": ["bench.kernel_rows", "bench.limits", "kernels.geometry"],
    "bench.kernel_figures": ["bench.arena", "bench.report"],
    "bench": ["bench", "", "backend", "interchange", "kernels", "losses", "nn"],
}  # fmt: skip

# Within a package: only from those to the left. A package's own __init__ stands right of all.
LEFT_TO_RIGHT = {
    "backend": "dtypes table choice installed devices resources".split(),
    "array_api": ("dtypes creation elements shapes order reductions linalg fft info").split(),
    "engine": (
        "changes errors options casts modes methods tensor arraylike rows containers plan call "
        "short definition batching fit recompute accumulate hooks walk batched loop level autocast"
    ).split(),
    "ops": (
        "arrays elements indexing reductions matrices samples signals neural protocols"
    ).split(),
    "ops.arrays": "create shape".split(),
    "ops.elements": (
        "compare elementwise special activation complex transcendental arithmetic"
    ).split(),
    "ops.indexing": "places lines index inplace arrange repetition window padding".split(),
    "ops.reductions": "reduce scan scatter".split(),
    "ops.matrices": (
        "linalg diagonal systems decompositions measures matrix_functions eigen lengths"
    ).split(),
    "ops.samples": "order ranks quantiles statistics random".split(),
    "ops.signals": "fft spectrogram convolve".split(),
    "ops.neural": (
        "softmax ctc norm conv conv_nd resize sampling pool pool_nd unpool patches recurrent "
        "attention bag experts"
    ).split(),
    "ops.protocols": (
        "notebook families numpy_names numpy_series numpy_places numpy_options numpy_functions "
        "protocol sharing"
    ).split(),
    "pictures": (
        "text png items memory recorded calls layers places colours svg page graph tensor module "
        "curves notebook"
    ).split(),
    "nn": "base layers models".split(),
    "functional": (
        "trees evaluation derivatives forward vmap jacobian custom call solvers implicit"
    ).split(),
    "interchange": ("weights hugging_face models sharing calls_from_torch calls_to_torch").split(),
    "losses": "checks regression binary classes divergences margins vectors transport ctc".split(),
    "distributions": (
        "supports distribution noise normal line positive simplex counts categories multivariate "
        "compound transforms transformed divergence"
    ).split(),
    "fusion": "terms traced identities program watched decorator".split(),
    "inspect": "flops spans statistics tables trace flame peak profiler taps".split(),
    "onnx.export": (
        "errors known sizes patterns record merge emit table arguments trials arithmetic curves "
        "moves places reductions layers images resizing sequences refused model"
    ).split(),
    "data": (
        "arguments dataset collections collate samplers loader stream wrapped fetch images audio "
        "text subwords masking"
    ).split(),
    "special": "of_scipy bessel entropy gamma normal sums".split(),
    "stats": ("numbers norm gamma chi2 beta t poisson dirichlet multivariate_normal").split(),
    "training": (
        "history interrupt progress jsonlines tensorboard predict panels plot names place "
        "folder logged run command"
    ).split(),
}

# The rooms of a kernel target, from the lowest floor up; what is not named is a family of kernels,
# and stands above all of them.
FLOORS = {
    "kernels.cpu": ["machine", "math", "products"],
    "kernels.cuda": ["emulator", "machine"],
}

# A family is no floor: these use another one.
FAMILIES_USE = {
    "kernels.cpu.attention": ["random"],  # its dropout
    "kernels.cpu.norm": ["reduce"],
    "kernels.cuda.attention": ["linalg"],  # which knows what has tensor cores
    "kernels.cuda.conv": ["linalg", "reduce"],  # its tiles, and the sum of a bias
    "kernels.cuda.norm": ["reduce"],
    "kernels.cuda.recurrent": ["linalg", "reduce"],
    "kernels.cuda.tf32": ["", "linalg"],  # the same table with other products
}

ROOMS_OF_CPU = 40  # arrows between them, at most: a family of one file has two

# Imports of our own modules that wait until they are needed, and why. Elsewhere in the library they
# stand at the top of the file.
LAZY = {
    ("nn.base.summary", "inspect"): "a model without a look at its outputs does not need it",
    **{
        (room, "pictures"): "few programs draw a picture"
        for room in ("ops.protocols.notebook", "nn.base.module", "training")
    },
    ("ops.protocols.protocol", "ops.protocols.numpy_functions"): (
        "importing the library does not wait for the table of NumPy's functions"
    ),
    ("backend", "kernels"): "a target loads its compiler: numba or CuPy",
    ("kernels.cuda.machine.launcher", "kernels.cuda.machine.gpu"): "it imports CuPy",
}

# Where a module is imported by a name that only a run knows.
NAMED_BY_A_RUN = {
    "": "a room is loaded when its name is asked for",
    "onnx.export.model": "onnx and onnx-ir, in one place that says which extra brings them",
    "bench.arena": "a worker process prepares what its command line names",
    "examples.docstrings": "it reads the modules of Python's own library",
}

# Third-party packages that a kernel target may import. In tinygrad_like/ itself it is NumPy alone
# at the top of a file; the others load on first use, inside a function.
THIRD_PARTY = {
    "kernels.reference": {"numpy", "scipy", "cupyx"},  # special functions, on first use
    "kernels.cpu": {"numpy", "numba", "llvmlite", "scipy", "threadpoolctl"},
    "kernels.cuda": {"numpy", "cupy"},
    "kernels.numba_cuda": {"numpy", "numba", "numba_cuda"},
    "kernels": {"numpy"},
    "bench.opponents.jax_jit": {"numpy", "jax"},
    "bench.opponents.pytorch": {"numpy", "torch"},
    "bench.accuracy": {"numpy", "torch"},
    "bench.accuracy_layers": {"numpy", "torch"},
    "sklearn": {"numpy", "sklearn"},  # loaded at its first use as a whole
    "bench": {"numpy", "tqdm"},
    "examples.serve": {"numpy", "PIL", "prometheus_client", "pydantic", "starlette"},
    "examples.speech": {"numpy", "jiwer", "tqdm"},
    "examples.search": {"numpy", "sklearn", "optuna"},
    "examples.cross_validate": {"sklearn", "joblib"},
    "examples": {"numpy", "sklearn", "tqdm"},
    "": {"numpy"},
}
