"""`grpc_echo.py serve PORT` says back what it is asked; `grpc_echo.py ask PORT NAME AUTHORITY` asks it."""
import sys
from concurrent import futures
import grpc


def unary(request, context):
    context.set_trailing_metadata((("x-sum", str(len(request))),))
    if request == b"fail":
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "as asked")
    return request


def stream(requests, context):
    for request in requests:
        yield request


class Echo(grpc.GenericRpcHandler):
    def service(self, details):
        if details.method == "/test.Echo/Unary":
            return grpc.unary_unary_rpc_method_handler(unary)
        return grpc.stream_stream_rpc_method_handler(stream)


def serve(port):
    server = grpc.server(futures.ThreadPoolExecutor(8), handlers=(Echo(),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    print("ready", flush=True)
    server.wait_for_termination()


def ask(port, name, authority):
    roots = open(authority, "rb").read()
    options = [("grpc.ssl_target_name_override", name), ("grpc.default_authority", name)]
    credentials = grpc.ssl_channel_credentials(roots)
    with grpc.secure_channel(f"127.0.0.1:{port}", credentials, options) as channel:
        call = channel.unary_unary("/test.Echo/Unary")
        for request in [b"", b"hello", bytes(1 << 20)]:
            answer, done = call.with_call(request, timeout=30)
            assert answer == request
            assert ("x-sum", str(len(request))) in [tuple(it) for it in done.trailing_metadata()]
        try:
            call(b"fail", timeout=30)
            raise SystemExit("it did not fail")
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.FAILED_PRECONDITION, error
        both = channel.stream_stream("/test.Echo/Stream")
        pieces = [b"a", b"b" * 70_000, b"c"]
        assert list(both(iter(pieces), timeout=30)) == pieces
    print("done")


if sys.argv[1] == "serve":
    serve(int(sys.argv[2]))
else:
    ask(int(sys.argv[2]), sys.argv[3], sys.argv[4])
