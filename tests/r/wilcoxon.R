# Makes the samples that `bakeline judge compare` is held to, and R's answers to them, as JSON lines on stdout.
#   Rscript --vanilla tests/r/wilcoxon.R > tests/golden/judge/wilcoxon.jsonl
# Base R only; numbers are written with 17 digits, so they are read back as the same numbers.
set.seed(20221, kind = "Mersenne-Twister", normal.kind = "Inversion")

num <- function(v) ifelse(is.finite(v), sprintf("%.17g", v), "null")
arr <- function(v) paste0("[", paste(num(v), collapse = ","), "]")

ask <- function(id, control, experiment, level) {
  # R has no bounds where both samples are constant, and warns where the normal approximation is rough.
  full <- tryCatch(suppressWarnings(wilcox.test(experiment, control, conf.int = TRUE, conf.level = level, mu = 0,
                                                exact = FALSE, correct = TRUE, tol.root = 1e-13)), error = function(e) NULL)
  plain <- suppressWarnings(wilcox.test(experiment, control, exact = FALSE, correct = TRUE))
  exact <- NA
  if (length(control) < 50 && length(experiment) < 50 && !anyDuplicated(c(control, experiment)))
    exact <- wilcox.test(experiment, control, exact = TRUE)$p.value
  bounds <- if (is.null(full)) c(NA, NA) else full$conf.int[1:2]
  estimate <- if (is.null(full)) NA else unname(full$estimate)
  cat(sprintf('{"id":"%s","conf_level":%s,"control":%s,"experiment":%s,"r":{"statistic":%s,"p_value":%s,"p_exact":%s,"lower":%s,"upper":%s,"estimate":%s}}\n',
              id, num(level), arr(control), arr(experiment), num(unname(plain$statistic)), num(plain$p.value), num(exact),
              num(bounds[1]), num(bounds[2]), num(estimate)))
}

levels <- c(0.98, 0.95, 0.9, 0.99)
pick <- function(i, v) v[(i - 1) %% length(v) + 1]

# Few digits keep the file small and make the samples no easier.
short <- function(v) signif(v, 5)

sizes <- c(2, 3, 4, 5, 7, 10, 15, 25, 40, 49, 50, 60)
scales <- 10^(-7:6)
n <- 0
for (size in sizes) for (scale in scales) {
  n <- n + 1
  other <- pick(n, c(size, max(2, size - 1), size + 3))
  shift <- pick(n, c(0, 0.5, 1, -1, 3))
  ask(sprintf("normal-%d", n), short(scale * (10 + rnorm(other))), short(scale * (10 + shift + rnorm(size))), pick(n, levels))
}
for (i in 1:60) {
  size <- pick(i, c(2, 3, 5, 8, 13, 20, 30, 60))
  other <- pick(i + 3, c(2, 4, 6, 9, 14, 25, 50))
  scale <- pick(i, c(1, 1e-6, 0.1, 1000))
  ask(sprintf("ties-%d", i), scale * rpois(other, 2), scale * rpois(size, pick(i, c(2, 3, 5))), pick(i, levels))
}
for (i in 1:30) {
  size <- pick(i, c(2, 3, 5, 10, 30))
  ask(sprintf("sparse-%d", i), rbinom(size + 10, 1, 0.1), rbinom(size + 12, 1, pick(i, c(0.1, 0.3, 0.6))), pick(i, levels))
}
for (i in 1:30) {
  size <- pick(i, c(2, 3, 5, 10, 30))
  scale <- pick(i, c(1, 1e-7, 1e6))
  flat <- rep(scale, size)
  varied <- short(scale * (1 + pick(i, c(0, 0.5, 2)) + 0.3 * rnorm(size + 1)))
  if (i %% 2 == 0) ask(sprintf("flat-control-%d", i), flat, varied, pick(i, levels))
  else ask(sprintf("flat-experiment-%d", i), varied, flat, pick(i, levels))
}
for (i in 1:6) ask(sprintf("both-flat-%d", i), rep(1, i + 1), rep(pick(i, c(1, 2, 0.5)), i + 2), 0.98)
for (i in 1:20) {
  size <- pick(i, c(10, 30, 60, 100))
  ask(sprintf("skewed-%d", i), short(rexp(size) * pick(i, c(1e-5, 1, 1e4))), short(rexp(size) * pick(i, c(1e-5, 1, 1e4)) * pick(i, c(1, 1.5, 3))), pick(i, levels))
}
for (i in 1:12) {
  size <- pick(i, c(5, 20, 60))
  ask(sprintf("far-apart-%d", i), short(pick(i, c(1e-7, 1e-3)) * rnorm(size)), short(1e6 + rnorm(size)), pick(i, levels))
}
for (i in 1:16) {
  size <- pick(i, c(6, 12, 40, 100))
  ask(sprintf("negative-%d", i), short(-5 + rnorm(size)), short(-5 + pick(i, c(0, -1, 1)) + rnorm(size)), pick(i, levels))
}
# Large values on a lattice: a bound of zero is smaller than the rounding of the values it lies between.
for (i in 1:40) {
  size <- pick(i, c(4, 13, 26, 48))
  other <- pick(i, c(6, 24, 41, 55, 30))
  scale <- pick(i, c(1e6, 1e5, 1e-6)) / 60
  ask(sprintf("lattice-%d", i), scale * rpois(size, pick(i, c(0, 1, 2))), scale * rpois(other, 1.5), pick(i, levels))
}
