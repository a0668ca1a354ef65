"""The application: its routes, and what it opens at its start and closes at its end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI
from fastapi.middleware.cors import CORSMiddleware

from longshore.broker.gateway.rate_limits import RateLimits
from longshore.broker.redis_address import parse_redis_url
from longshore.producers.aio.threads import Threads
from longshore.producers.gateway import problems
from longshore.producers.gateway.access.identification import identified
from longshore.producers.gateway.access.tokens import TokenCache
from longshore.producers.gateway.access.usage import RateLimitHeaders
from longshore.producers.gateway.batches.driver import BatchDriver
from longshore.producers.gateway.clients import Clients
from longshore.producers.gateway.openai import batches
from longshore.producers.gateway.openai import routes as openai
from longshore.producers.gateway.routes import (
    cluster,
    events,
    files,
    health,
    job_changes,
    job_details,
    jobs,
    models,
    predictions,
    results,
    uploads,
)
from longshore.producers.gateway.serving.access_log import REQUEST_ID, logged
from longshore.producers.gateway.serving.admission import Admission
from longshore.producers.gateway.serving.bodies import Bodies
from longshore.producers.gateway.serving.heap import settle_heap
from longshore.producers.gateway.serving.idempotency import check_repeatable, kept
from longshore.producers.gateway.serving.last_resort import answered
from longshore.producers.gateway.serving.openapi import describe
from longshore.producers.gateway.serving.queries import check_query
from longshore.producers.gateway.serving.readiness import Readiness
from longshore.producers.gateway.settings import GatewaySettings
from longshore.producers.gateway.state import Gateway
from longshore.producers.gateway.text_channels import TextChannels
from longshore.producers.gateway.webhooks import routes as webhooks
from longshore.producers.version import __version__
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.settings import Settings

#: The routers below ``/v1``.
ROUTERS = (
    # Called most, and routers are asked in this order.
    predictions.router,
    jobs.router,
    job_changes.router,
    job_details.router,
    openai.router,
    results.router,
    files.router,
    uploads.router,
    cluster.router,
    models.router,
    events.router,
    webhooks.router,
    batches.router,
)

#: The headers of answers that scripts of other sites may read, besides those of results.
_EXPOSED = (REQUEST_ID, "Location", "Retry-After", "RateLimit", "RateLimit-Policy", "Content-Range")


def make_app(settings: Settings, options: GatewaySettings, admission: Admission) -> FastAPI:
    """The gateway of a cluster.

    :param settings: the addresses of the cluster, with the gateway's login to Postgres.
    :param admission: lets requests in, and ends them when the gateway stops.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        ledger, threads, clients = Ledger(settings.database_url, "longshore gateway"), Threads(), Clients(settings)
        redis = parse_redis_url(settings.redis_url)
        texts, tokens, rates = TextChannels(redis), TokenCache(ledger.tokens, threads), RateLimits(redis)
        readiness = Readiness(settings, ledger, options.ready_s)
        app.state.gateway = Gateway(
            settings, options, ledger, threads, clients, texts, tokens, rates, readiness, admission
        )
        settle_heap()
        tokens.start()
        app.state.batch_driver = driver = BatchDriver(app.state.gateway)
        driver.start()
        try:
            yield
        finally:
            await driver.stop()
            await texts.close()
            await tokens.close()
            await rates.close()
            await clients.close()
            await threads.call(ledger.close)
            await threads.close()

    app = FastAPI(
        title="Longshore",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        # Behind a proxy with TLS, a redirect would lead to http://.
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    problems.install(app)
    describe(app)
    app.include_router(health.router)
    for router in ROUTERS:
        app.include_router(router, prefix="/v1", dependencies=[Depends(check_query), Depends(check_repeatable)])
    _add_layers(app, options, admission)
    return app


def _add_layers(app: FastAPI, options: GatewaySettings, admission: Admission) -> None:
    """Put the layers of :mod:`longshore.producers.gateway.serving` around the routes, the inner ones first."""
    app.add_middleware(kept)
    app.add_middleware(Bodies(options).layer)
    app.add_middleware(identified)
    app.add_middleware(admission.layer)
    app.add_middleware(answered)
    app.add_middleware(RateLimitHeaders)
    if options.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=options.cors_origins,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Prefer", "Range", "Last-Event-ID"],
            expose_headers=[*_EXPOSED, *results.HEADERS],
        )
    app.add_middleware(logged)
