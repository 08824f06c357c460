"""Cases that cover all pairs of settings, of which all combinations would be too many."""

import itertools


def cover_pairs(dimensions, is_error):
    """Return cases such that each pair of values of two dimensions occurs in one of them.

    Args:
        dimensions: the values of each dimension, by its name.
        is_error: of two values, whether no case may have both.
    """
    names = list(dimensions)
    missing = {
        ((one, i), (other, j))
        for one, other in itertools.combinations(names, 2)
        for i in range(len(dimensions[one]))
        for j in range(len(dimensions[other]))
        if not is_error(dimensions[one][i], dimensions[other][j])
    }
    cases = []
    while missing:
        case = dict(min(missing))  # two values; the others are those that most missing pairs need
        for name in names:
            if name not in case:
                case[name] = max(
                    [
                        i
                        for i, value in enumerate(dimensions[name])
                        if not any(is_error(dimensions[key][j], value) for key, j in case.items())
                    ],
                    key=lambda i, name=name: sum(
                        pair <= {*case.items(), (name, i)} for pair in map(set, missing)
                    ),
                )
        missing -= set(itertools.combinations([(name, case[name]) for name in names], 2))
        cases.append({name: dimensions[name][case[name]] for name in names})
    return cases
