# Prints what benchmarks report beside the time of an iteration: ratios (×) to
# the bare tools, and what they are made of.
/^Benchmark/ {
    name = $1
    sub(/^Benchmark/, "", name)
    sub(/-[0-9]+$/, "", name)
    for (i = 3; i < NF; i += 2)
        if ($(i + 1) !~ /^(ns|B|allocs)\/op$/)
            rows[++n] = sprintf("%-10s %-22s %10s", name, $(i + 1), $i)
}
END {
    if (n == 0)
        exit 1
    print ""
    for (i = 1; i <= n; i++)
        print rows[i]
}
