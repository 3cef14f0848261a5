"""Machine code that several kernels share: compiled once, and called by its name.

numba copies the functions that a kernel calls into the kernel and optimises them again there. That
takes time for each kernel, and sums that were all kept in registers may end up in memory. So the
innermost loops, and what many kernels have in common, are compiled separately.
"""

import functools

import numba
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from .compile import jit


@intrinsic
def array_at(typingctx, like, address):
    """A 1-d view of the memory at an address, of the dtype of `like` and of unlimited length."""
    kind = types.Array(like, 1, "C")

    def codegen(context, builder, sig, args):
        view = context.make_array(kind)(context, builder)
        item = context.get_constant(types.intp, like.bitwidth // 8)
        data = builder.inttoptr(args[1], context.get_value_type(like).as_pointer())
        shape = [context.get_constant(types.intp, (1 << 62) // (like.bitwidth // 8))]
        populate_array(view, data, shape, [item], item, meminfo=None)
        return view._getvalue()

    return kind(like, types.int64), codegen


def shared_code(*kinds):
    """A decorator that makes (prepare, call) of a function of (a scalar of a dtype, *kinds).

    prepare(dtype) compiles the function for a dtype. It must run before a kernel that uses `call`
    is compiled or loaded. call(scalar, (the other arguments)) is for compiled code. The function's
    name becomes that of the machine code: no two functions may have the same.
    """

    def share(function):
        compiled = jit(function)
        name = f"tinygrad_like_{function.__name__}"

        @functools.cache
        def prepare(dtype):
            dtype = numba.from_dtype(dtype)
            args = dtype, *kinds
            compiled.compile(args)
            result = compiled.overloads[args]
            entry = result.fndesc.llvm_cfunc_wrapper_name
            address = result.library.get_pointer_to_function(entry)
            binding.add_symbol(f"{name}_{dtype}", address)

        @intrinsic
        def call(typingctx, like, others):
            def codegen(context, builder, sig, args):
                args = [args[0], *cgutils.unpack_tuple(builder, args[1])]
                entry = ir.FunctionType(ir.VoidType(), [x.type for x in args])
                symbol = f"{name}_{sig.args[0]}"
                builder.call(cgutils.get_or_insert_function(builder.module, entry, symbol), args)
                return context.get_dummy_value()

            return types.void(like, types.Tuple(kinds)), codegen

        return prepare, call

    return share
