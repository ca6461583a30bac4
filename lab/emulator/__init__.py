"""The AWS API on 127.0.0.1: a moto server with what it lacks or gets wrong put right."""
