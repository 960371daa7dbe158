"""What a map needs to know of the API's nationalities."""

ISO3 = {
    "AU": "AUS", "BR": "BRA", "CA": "CAN", "CH": "CHE", "DE": "DEU", "DK": "DNK", "ES": "ESP", "FI": "FIN", "FR": "FRA",
    "GB": "GBR", "IE": "IRL", "IN": "IND", "IR": "IRN", "MX": "MEX", "NL": "NLD", "NO": "NOR", "NZ": "NZL", "RS": "SRB",
    "TR": "TUR", "UA": "UKR", "US": "USA",
}  # fmt: skip
"""ISO 3166-1 alpha-3 by alpha-2."""
