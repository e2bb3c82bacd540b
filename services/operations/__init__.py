"""Operations: the numbers of a project, the lists behind them, and what is to come."""
