"""Bad networks by seed: what they do to a packet, to a link, and to five tiers of gateways."""
