"""Every connection that a profile of the chart declares, written down apart from the templates."""

from dataclasses import dataclass, field

Labels = dict[str, str]
Ports = tuple[int, ...] | range

POSTGRES, CASSANDRA = 5432, 9042
KAFKA, KAFKA_OVER_TLS = 9092, 9093
DNS = 53
API_SERVER = (443, 6443)
AIRFLOW, SOURCE, MEDUSA = 8080, 8084, 50051
EVERY_PORT = range(1, 65536)
OUTSIDE = "outside"
"""Whatever has an address that is no pod's."""


@dataclass(frozen=True)
class Edges:
    """The connections between components, the stores' pods and whatever else there is."""

    out: dict[str, Ports]
    """TCP ports that a component may connect to at any address that admits it; each may also ask a DNS server."""
    into: dict[str, Ports]
    """TCP ports that any pod may connect to."""
    within: dict[tuple[str, str], Ports]
    """TCP ports on which one may connect to another; with `EVERY_PORT` also over UDP."""
    others: dict[str, Labels] = field(default_factory=dict)
    """The labels of pods that an operator creates."""

    @property
    def ports(self) -> set[int]:
        named = {DNS}.union(*self.out.values(), *self.into.values())
        return named.union(*(ports for ports in self.within.values() if ports is not EVERY_PORT))

    def concern(self, source: str, target: str) -> bool:
        """Return whether the edges say anything of a pair."""
        return source in self.out or target in self.into

    def declare(self, source: str, target: str, port: int, protocol: str = "TCP") -> bool:
        """Return whether a connection is declared; any name that is not listed stands for what no policy selects."""
        between = self.within.get((source, target), ())
        if between is EVERY_PORT or (protocol == "TCP" and port in between):
            return True
        sends = source not in self.out or port == DNS or (protocol == "TCP" and port in self.out[source])
        admits = target not in self.into or (protocol == "TCP" and port in self.into[target])
        return sends and admits and not (target in self.into and source == OUTSIDE)


USES: dict[str, tuple[str, ...]] = {
    "publisher": ("postgres", "kafka"),
    "exporter": ("postgres", "kafka"),
    "stream": ("postgres", "kafka", "cassandra"),
    "stream-executor": ("postgres", "kafka", "cassandra"),
    "dashboard": ("postgres", "kafka", "cassandra"),
    "source": (),
    "toolbox": ("postgres", "kafka", "cassandra"),
    "migrations": ("postgres", "kafka", "cassandra"),
    "test": ("postgres", "kafka", "cassandra"),
    "secrets": (),
    "check-schema": ("postgres",),
    "airflow-api-server": ("postgres",),
    "airflow-scheduler": ("postgres",),
    "airflow-dag-processor": ("postgres",),
    "airflow-triggerer": ("postgres",),
    "airflow-cleanup": ("postgres",),
    "airflow-task": ("postgres", "kafka", "cassandra"),
}
"""The stores that a component connects to."""

COMPONENTS = tuple(USES)

_TOKENS = ("secrets", "airflow-api-server", "airflow-scheduler", "airflow-task")
_PAGES_AND_METRICS = {"dashboard": (8501, 8088), "publisher": (8085,), "stream": (8086,), "exporter": (8087,)}
_INTO: dict[str, Ports] = {name: _PAGES_AND_METRICS.get(name, ()) for name in COMPONENTS}
_AIRFLOW: dict[tuple[str, str], Ports] = {
    ("airflow-scheduler", "airflow-api-server"): (AIRFLOW,),
    ("airflow-dag-processor", "airflow-api-server"): (AIRFLOW,),
    ("airflow-triggerer", "airflow-api-server"): (AIRFLOW,),
    ("airflow-task", "airflow-api-server"): (AIRFLOW,),
    ("dashboard", "airflow-api-server"): (AIRFLOW,),
}


def _out(store_ports: dict[str, int], tokens: tuple[str, ...]) -> dict[str, Ports]:
    """Return the ports that components may connect to anywhere: those of external stores, and the API server's."""
    return {
        name: (
            *(store_ports[store] for store in stores if store in store_ports),
            *(API_SERVER if name in tokens else ()),
        )
        for name, stores in USES.items()
    }


_SMALL = Edges(
    out=_out({"postgres": POSTGRES, "kafka": KAFKA, "cassandra": CASSANDRA}, _TOKENS),
    into=_INTO,
    within=_AIRFLOW | {("airflow-task", "source"): (SOURCE,)},
)

_PORTS = {"postgres": POSTGRES, "kafka": KAFKA_OVER_TLS, "cassandra": CASSANDRA}
_SPARK = ("stream", "stream-executor")

_PRODUCTION = Edges(
    out=_out({}, (*_TOKENS, "stream")),
    into=_INTO
    # The operators' own ports, and the stores' metrics. Strimzi creates Kafka's policies.
    | {"postgres": (8000, 9187), "cassandra": (8080, 9000)},
    within=_AIRFLOW
    | {(name, store): (_PORTS[store],) for name, stores in USES.items() for store in stores}
    | {(one, other): EVERY_PORT for one in _SPARK for other in _SPARK}
    | {(store, store): EVERY_PORT for store in ("postgres", "cassandra")}
    | {("reaper", "cassandra"): (CASSANDRA, 8080), ("k8ssandra-operator", "cassandra"): (MEDUSA,)},
    others={
        "postgres": {"cnpg.io/cluster": "insights-user-insights-postgres"},
        "kafka": {"strimzi.io/cluster": "insights-user-insights"},
        "cassandra": {"cassandra.datastax.com/cluster": "insights-user-insights-cassandra"},
        "k8ssandra-operator": {"control-plane": "k8ssandra-operator"},
        "reaper": {"k8ssandra.io/reaper": "insights-user-insights-cassandra-dc1-reaper"},
    },
)

EDGES = {"small": _SMALL, "production": _PRODUCTION}
"""Those of a profile, with the release name `insights`. `small` knows no address of its stores."""
