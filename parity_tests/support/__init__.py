"""What tests share: models and graphs made for them, single operators, real models; the package does not need it."""
