"""The options by which a Kafka cluster is reached."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, Field, model_validator
from typing_extensions import Self

from connectors.errors import SourceError
from connectors.files.paths import PathOption
from connectors.options import Items
from connectors.secret import Secret, SettingValue, sounds_secret

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

_TAKEN: Mapping[str, str] = {
    "bootstrap.servers": "use the option 'bootstrap_servers'",
    "metadata.broker.list": "use the option 'bootstrap_servers'",
    "security.protocol": "use the option 'security_protocol'",
    "sasl.username": "use the option 'user'",
    "sasl.password": "use the option 'password'",
    "ssl.ca.location": "use the option 'ssl_ca'",
    "ssl.certificate.location": "use the option 'ssl_certificate'",
    "ssl.key.location": "use the option 'ssl_key'",
    "ssl.key.password": "use the option 'ssl_key_password'",
    "isolation.level": "use the option 'isolation'",
    "auto.offset.reset": "it is set so that no message is passed over unseen",
    "enable.auto.commit": "positions are kept by the pipeline",
    "enable.auto.offset.store": "positions are kept by the pipeline",
    "enable.partition.eof": "the end of a partition is found by it",
    "enable.idempotence": "it is set so that retries leave no doubles",
    "acks": "it is set so that what was sent stays",
    "transactional.id": "there are no transactions here",
}


class KafkaOptions(BaseModel):
    """The options by which a Kafka cluster is reached.

    Attributes:
        bootstrap_servers: brokers to begin with, ``host:port`` and ``host:port,host:port``.
        security_protocol: how brokers are spoken to; PLAINTEXT only where the network is to be trusted.
        sasl_mechanism: how `user` proves to be that user. For others (GSSAPI, OAUTHBEARER) leave `user` out, and give
            the settings in `options`.
        user: who connects, with one of the SASL protocols.
        password: of the user, as a reference: ``${env:NAME}`` or ``${file:PATH}``.
        ssl_ca: a PEM file of the authorities that brokers' certificates are held against; None: the system's.
        ssl_certificate: a PEM file of the client's own certificate, where brokers want one.
        ssl_key: a PEM file of its private key. Files are opened on every machine that reads; a key that must not lie on
            all of them goes into `options` as ``ssl.key.pem``, by reference.
        ssl_key_password: of that key, as a reference.
        timeout: seconds for which brokers may be out of reach, or give nothing, before reading fails. Connections that
            are cut are taken up again meanwhile.
        options: further settings of librdkafka's, as ``client.id``; a secret one by reference.
    """

    bootstrap_servers: str = Field(min_length=1)
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    user: str | None = None
    password: Secret | None = None
    ssl_ca: PathOption | None = None
    ssl_certificate: PathOption | None = None
    ssl_key: PathOption | None = None
    ssl_key_password: Secret | None = None
    timeout: float = Field(default=60.0, gt=0)
    options: Items[SettingValue] = ()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        sasl, ssl = self.security_protocol.startswith("SASL"), self.security_protocol.endswith("SSL")
        if (self.user is None) != (self.password is None):
            raise ValueError("'user' and 'password' go together")
        if self.user is not None and not sasl:
            raise ValueError(
                f"'user' and 'password' go with a SASL protocol, and 'security_protocol' is {self.security_protocol}; "
                "set it to SASL_SSL, or to SASL_PLAINTEXT where the network is to be trusted"
            )
        if sasl and self.user is None and not any(name.startswith("sasl.") for name, _ in self.options):
            raise ValueError(f"{self.security_protocol} wants 'user' and 'password', or settings sasl.… in 'options'")
        for_ssl = ("ssl_ca", "ssl_certificate", "ssl_key", "ssl_key_password")
        given = [name for name in for_ssl if getattr(self, name) is not None]
        if given and not ssl:
            raise ValueError(f"{given[0]!r} goes with a protocol of SSL, and not with {self.security_protocol}")
        return self

    @model_validator(mode="after")
    def _has_settings_that_are_free(self) -> Self:
        for name, value in self.options:
            if name in _TAKEN or (self.user is not None and name in ("sasl.mechanism", "sasl.mechanisms")):
                raise ValueError(
                    f"{name!r} cannot be given in 'options': {_TAKEN.get(name, 'use the option sasl_mechanism')}"
                )
            if isinstance(value, str) and (sounds_secret(name) or name.endswith((".key.pem", "oauthbearer.config"))):
                raise ValueError(
                    f"the name of the setting {name!r} says that it is a secret, and options are written into run "
                    "records; give it by reference, as ${env:NAME} or ${file:PATH}"
                )
        return self

    def settings(self) -> dict[str, object]:
        """Return what librdkafka is told, secrets and all: to be given to a client, and kept nowhere.

        Raises:
            SecretError: a reference leads nowhere.
        """
        given: dict[str, object] = {
            "ssl.ca.location": self.ssl_ca,
            "ssl.certificate.location": self.ssl_certificate,
            "ssl.key.location": self.ssl_key,
            "ssl.key.password": _open(self.ssl_key_password),
        }
        if self.user is not None:
            given |= {
                "sasl.mechanism": self.sasl_mechanism,
                "sasl.username": self.user,
                "sasl.password": _open(self.password),
            }
        return {
            "bootstrap.servers": self.bootstrap_servers,
            "security.protocol": self.security_protocol,
            "client.id": "headrace",
            # What goes wrong is told by exceptions; librdkafka would print it as well.
            "log_level": 2,
            **{name: value for name, value in given.items() if value is not None},
            **{name: _open(value) for name, value in self.options},
        }

    def client(self, kind: Literal["Consumer", "Producer"], settings: Mapping[str, object]) -> Any:
        """Return a client of librdkafka's.

        Raises:
            SourceError: it is not installed, or refuses a setting.
        """
        try:
            import confluent_kafka
        except ImportError as error:
            raise SourceError(f"Kafka's client is missing ({error}); pip install 'headrace[kafka]'") from error
        try:
            return getattr(confluent_kafka, kind)(dict(settings))
        except confluent_kafka.KafkaException as error:
            said = self._without_secrets(error.args[0].str())
        # Out here, as the client's own error would else be kept behind this one, and may quote a secret.
        raise SourceError(f"librdkafka refuses its settings: {said}; see the option 'options'")

    def told(self, error: KafkaError, about: str = "") -> str:
        """Return an error as a person is told it: who says what, and what to do; never a secret."""
        name = error.name()
        cure = next((cure for names, cure in _CURES if name in names), "run again")
        where = f" {about}" if about else ""
        return f"Kafka at {self.bootstrap_servers} says{where}: {self._without_secrets(error.str())} ({name}); {cure}"

    def _without_secrets(self, text: str) -> str:
        secrets = [self.password, self.ssl_key_password, *(value for _, value in self.options)]
        for secret in secrets:
            if isinstance(secret, Secret) and (value := secret.resolve().get_secret_value()):
                text = text.replace(value, "***")
        return text


_CURES = (
    (
        ("_AUTHENTICATION", "SASL_AUTHENTICATION_FAILED", "UNSUPPORTED_SASL_MECHANISM", "ILLEGAL_SASL_STATE"),
        "check user, password and sasl_mechanism",
    ),
    (("_SSL",), "check ssl_ca, ssl_certificate and ssl_key, and whether the broker speaks TLS at this port"),
    (
        ("_TRANSPORT", "_ALL_BROKERS_DOWN", "_TIMED_OUT", "_RESOLVE"),
        "check bootstrap_servers and security_protocol, and whether the brokers are up",
    ),
    (
        ("TOPIC_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED"),
        "have the user granted DESCRIBE and READ on the topic, and WRITE on that of dead letters",
    ),
    (("UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION"), "check whether the topic is still there"),
    (("_BAD_MSG",), "where it speaks of a size, raise receive.message.max.bytes in 'options'; else run again"),
    (("MSG_SIZE_TOO_LARGE",), "raise max.message.bytes of the topic"),
)


def _open(value: Secret | str | None) -> str | None:
    return value.resolve().get_secret_value() if isinstance(value, Secret) else value
