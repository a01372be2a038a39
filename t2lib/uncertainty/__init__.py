"""How sure: resampling, profiles, posteriors. Nothing here knows which law it is given."""
