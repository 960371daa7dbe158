"""A login provider on loopback: discovery, keys, and signed tokens with the claims that the test sets."""

import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey


class Provider(ThreadingHTTPServer):
    """An OpenID Connect provider that logs in the visitor that `claims` describe, without a form."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), ProviderHandler)
        self.issuer = f"http://localhost:{self.server_port}"
        self.key = RSAKey.generate_key(2048, {"kid": "one"})
        self.claims: dict[str, object] = {}
        self.nonces: dict[str, str] = {}

    def make_id_token(self, code: str) -> str:
        now = int(time.time())
        standard_claims = {"iss": self.issuer, "aud": "insights", "sub": "1", "iat": now, "exp": now + 60}
        return jwt.encode(
            {"alg": "RS256", "kid": "one"}, standard_claims | {"nonce": self.nonces[code]} | self.claims, self.key
        )


class ProviderHandler(BaseHTTPRequestHandler):
    server: Provider

    def do_GET(self) -> None:
        issuer, url = self.server.issuer, urlsplit(self.path)
        if url.path == "/.well-known/openid-configuration":
            self._answer(
                {
                    "issuer": issuer,
                    "authorization_endpoint": f"{issuer}/authorize",
                    "token_endpoint": f"{issuer}/token",
                    "jwks_uri": f"{issuer}/keys",
                    "id_token_signing_alg_values_supported": ["RS256"],
                    "code_challenge_methods_supported": ["S256"],
                }
            )
        elif url.path == "/keys":
            self._answer({"keys": [self.server.key.as_dict(private=False)]})
        else:
            parameters = {name: values[0] for name, values in parse_qs(url.query).items()}
            assert parameters["code_challenge_method"] == "S256"
            code = f"code{len(self.server.nonces)}"
            self.server.nonces[code] = parameters["nonce"]
            self.send_response(302)
            self.send_header(
                "Location", f"{parameters['redirect_uri']}?{urlencode({'code': code, 'state': parameters['state']})}"
            )
            self.end_headers()

    def do_POST(self) -> None:
        body = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        token = self.server.make_id_token(body["code"][0])
        self._answer({"access_token": "x", "token_type": "Bearer", "expires_in": 60, "id_token": token})

    def log_message(self, *_: object) -> None:
        """Log nothing."""

    def _answer(self, document: dict[str, object]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(document).encode())
