"""What a map needs to know of the API's nationalities."""

ISO3 = {
    "AU": "AUS", "BR": "BRA", "CA": "CAN", "CH": "CHE", "DE": "DEU", "DK": "DNK", "ES": "ESP", "FI": "FIN", "FR": "FRA",
    "GB": "GBR", "IE": "IRL", "IN": "IND", "IR": "IRN", "MX": "MEX", "NL": "NLD", "NO": "NOR", "NZ": "NZL", "RS": "SRB",
    "TR": "TUR", "UA": "UKR", "US": "USA",
}  # fmt: skip
"""ISO 3166-1 alpha-3 by alpha-2."""

NAMES = {
    "AU": "Australia", "BR": "Brazil", "CA": "Canada", "CH": "Switzerland", "DE": "Germany", "DK": "Denmark",
    "ES": "Spain", "FI": "Finland", "FR": "France", "GB": "United Kingdom", "IE": "Ireland", "IN": "India",
    "IR": "Iran", "MX": "Mexico", "NL": "Netherlands", "NO": "Norway", "NZ": "New Zealand", "RS": "Serbia",
    "TR": "Türkiye", "UA": "Ukraine", "US": "United States",
}  # fmt: skip
"""As people write them, by alpha-2."""
