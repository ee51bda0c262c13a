"""Sends the span of a request as vLLM 0.21 does (vllm/tracing/otel.py): send_span.py ENDPOINT [TRACEPARENT].

Sampler, headers and resource come from the environment, as they do there.
"""

import sys

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

endpoint, *parent = sys.argv[1:]
provider = TracerProvider(resource=Resource.create({"vllm.process_id": "1"}))
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
context = TraceContextTextMapPropagator().extract({"traceparent": each for each in parent})
span = provider.get_tracer("vllm").start_span("llm_request", context=context, kind=SpanKind.SERVER)
span.set_attributes({"gen_ai.usage.prompt_tokens": 3, "gen_ai.usage.completion_tokens": 5})
span.end()
provider.shutdown()
