#!/usr/bin/env Rscript
# Daywise effects to calls, with the R packages mashr or ashr.
#
# Exit codes: 0 done; 2 usage; 3 the input cannot be used; 4 an R package is missing;
# 5 the package failed; 6 OUT cannot be written. Messages go to stderr. On success one line
# of JSON goes to stdout: method, versions, loglik, V, pi (weights above zero), priors (the same
# mixture as weights and covariances, one over all days or one a day) and notes.

USAGE <- "Usage: Rscript run_mashr.R IN OUT [options]

  IN   CSV with the columns gene, betahat_d0, betahat_d1, ..., se_d0, se_d1, ...
  OUT  CSV: those columns plus postmean_d*, postsd_d*, lfsr_d* (ashr: qvalue_d* too),
       lfsr_min, best_day, hit_anyday; it appears only when it is whole

  --method mashr|ashr                  all days together, or each day by itself (mashr)
  --prior nullbiased|uniform           penalty on the mixture weights (nullbiased)
  --nullweight X                       weight of the null under nullbiased, 1 or more (10)
  --covariances canonical|days|datadriven
                                       days adds effects on some days alone, flips, onsets and offsets;
                                       datadriven adds cov_pca and cov_ed of the strong genes (canonical)
  --rank-one keep|mend                 what is added to learnt patterns: 1 / sqrt(n) as cov_ed does, or more,
                                       by the genes behind each and their errors (keep)
  --null-correlation simple|identity   correlation of errors between days (simple)
  --V FILE                             that correlation from a CSV instead: columns v_d0, v_d1, ..., one
                                       row a day; or gene, v_d0, ... with one row a gene and day, as in IN
  --threshold X                        lfsr below which a day is a hit (0.05)
  --qvalue-threshold X                 ashr: the q value must be below this too (no such gate)
  --seed N                             seed of R's random numbers (1)
  --help                               this text
"

EXIT <- c(usage = 2L, input = 3L, package = 4L, engine = 5L, output = 6L)
N_PCS <- 2L           # principal components of the data-driven covariances
STRONG_LFSR <- 0.1    # genes below this on some day, each day by itself, are the strong ones
ALL_SUBSETS <- 5L     # up to this many days every subset has a pattern, beyond it contiguous runs
NULL_Z <- 2           # genes below this on every day say how errors correlate
# Shrunken effects of a smooth walk have nearly the same z score on every day. A correlation estimated
# from them says that days hardly differ by error, so that any small difference would be a call.
LARGEST_CONDITION <- 1000

options(warn = 1, scipen = 0)
notes <- character()

fail <- function(code, ...) {
  message("run_mashr.R: ", ...)
  quit(save = "no", status = EXIT[[code]], runLast = FALSE)
}

note <- function(...) {
  text <- paste0(...)
  message("run_mashr.R: ", text)
  notes <<- c(notes, text)
}

some <- function(x, most = 10L) {
  shown <- paste(utils::head(x, most), collapse = ", ")
  if (length(x) > most) paste0(shown, " and ", length(x) - most, " more") else shown
}

# ---- arguments -------------------------------------------------------------------------------

parse_arguments <- function(words) {
  chosen <- list(method = "mashr", prior = "nullbiased", nullweight = "10", covariances = "canonical",
                 "rank-one" = "keep", "null-correlation" = "simple", V = NA, threshold = "0.05", "qvalue-threshold" = NA,
                 seed = "1")
  files <- character()
  while (length(words)) {
    word <- words[1]
    words <- words[-1]
    if (word == "--help") {
      cat(USAGE)
      quit(save = "no", status = 0L)
    }
    if (!startsWith(word, "--")) {
      files <- c(files, word)
      next
    }
    parts <- regmatches(word, regexpr("=", word, fixed = TRUE), invert = TRUE)[[1]]
    name <- substring(parts[1], 3)
    if (!name %in% names(chosen)) {
      fail("usage", "unknown option ", word, "; there are --", paste(names(chosen), collapse = " --"), " --help")
    }
    if (length(parts) == 2) {
      chosen[[name]] <- parts[2]
    } else {
      if (!length(words)) fail("usage", "option ", word, " needs a value")
      chosen[[name]] <- words[1]
      words <- words[-1]
    }
  }
  if (length(files) != 2) {
    fail("usage", "expected IN and OUT, found ", length(files), " file names\n", USAGE)
  }
  one_of(chosen, "method", c("mashr", "ashr"))
  one_of(chosen, "prior", c("nullbiased", "uniform"))
  one_of(chosen, "covariances", c("canonical", "days", "datadriven"))
  one_of(chosen, "rank-one", c("keep", "mend"))
  one_of(chosen, "null-correlation", c("simple", "identity"))
  chosen$nullweight <- number(chosen, "nullweight", 1, Inf)
  chosen$threshold <- number(chosen, "threshold", 0, 1)
  chosen$seed <- number(chosen, "seed", 0, .Machine$integer.max)
  if (!is.na(chosen[["qvalue-threshold"]])) {
    chosen[["qvalue-threshold"]] <- number(chosen, "qvalue-threshold", 0, 1)
  }
  c(chosen, list(input = files[1], output = files[2]))
}

one_of <- function(chosen, name, allowed) {
  if (!chosen[[name]] %in% allowed) {
    fail("usage", "--", name, " is ", chosen[[name]], "; allowed: ", paste(allowed, collapse = ", "))
  }
}

number <- function(chosen, name, least, most) {
  value <- suppressWarnings(as.numeric(chosen[[name]]))
  if (is.na(value) || value < least || value > most || is.infinite(value)) {
    fail("usage", "--", name, " is ", chosen[[name]], "; allowed: a number from ", least, " to ", most)
  }
  value
}

# ---- input -----------------------------------------------------------------------------------

# Everything is read as text, so that genes called NA, 1e5 or 007 stay what they are.
read_text <- function(path) {
  if (!file.exists(path)) fail("input", "no such file: ", path)
  table <- tryCatch(
    utils::read.csv(path, colClasses = "character", na.strings = character(), check.names = FALSE,
                    strip.white = FALSE),
    error = function(e) fail("input", path, " is not a CSV: ", conditionMessage(e))
  )
  if (!nrow(table)) fail("input", path, " has no rows")
  names(table)[1] <- sub("^\xef\xbb\xbf", "", names(table)[1], useBytes = TRUE)  # a mark that spreadsheets write
  table
}

read_summary <- function(path) {
  table <- read_text(path)
  days <- sum(grepl("^betahat_d[0-9]+$", names(table)))
  wanted <- c("gene", paste0("betahat_d", seq_len(max(days, 1)) - 1), paste0("se_d", seq_len(max(days, 1)) - 1))
  absent <- setdiff(wanted, names(table))
  if (length(absent)) {
    fail("input", path, " lacks the column(s) ", some(absent), "; it has ", some(names(table)))
  }
  twice <- unique(table$gene[duplicated(table$gene)])
  if (length(twice)) fail("input", path, " has more than one row for ", some(twice))
  table <- table[wanted]
  list(table = table, genes = table$gene, Bhat = numbers(table, "betahat_d", days),
       Shat = numbers(table, "se_d", days, positive = TRUE))
}

numbers <- function(table, prefix, days, positive = FALSE) {
  columns <- paste0(prefix, seq_len(days) - 1)
  values <- suppressWarnings(vapply(table[columns], as.numeric, numeric(nrow(table))))
  values <- matrix(values, ncol = days, dimnames = list(NULL, columns))
  # mash_set_data takes a standard error up to the machine's epsilon for zero.
  bad <- which(!is.finite(values) | (positive & values <= .Machine$double.eps), arr.ind = TRUE)
  if (nrow(bad)) {
    cells <- apply(bad, 1, function(at) {
      paste0(table$gene[at[1]], " ", columns[at[2]], "=", table[[columns[at[2]]]][at[1]])
    })
    fail("input", nrow(bad), " value(s) are not ", if (positive) "finite and above zero" else "finite", ": ",
         some(cells))
  }
  values
}

read_correlation <- function(path, genes, days) {
  table <- read_text(path)
  columns <- paste0("v_d", seq_len(days) - 1)
  absent <- setdiff(columns, names(table))
  if (length(absent)) fail("input", path, " lacks the column(s) ", some(absent))
  expected <- if ("gene" %in% names(table)) rep(genes, each = days) else NULL
  if (!is.null(expected) && !identical(table$gene, expected)) {
    fail("input", path, " must have ", days, " rows a gene, in the order of the genes of IN")
  }
  if (is.null(expected) && nrow(table) != days) {
    fail("input", path, " has ", nrow(table), " rows; a correlation of ", days, " days has ", days)
  }
  if (is.null(expected)) table$gene <- columns
  values <- unname(numbers(table, "v_d", days))
  if (is.null(expected)) return(values)
  aperm(array(t(values), c(days, days, length(genes))), c(2, 1, 3))
}

# ---- mashr -----------------------------------------------------------------------------------

null_correlation <- function(Bhat, Shat) {
  days <- ncol(Bhat)
  nulls <- sum(apply(abs(Bhat / Shat), 1, max) < NULL_Z)
  identity <- function(because) {
    note("error correlation taken as the identity: ", because, ", too little to estimate it")
    diag(days)
  }
  # n rows around their mean span n - 1 dimensions, so as many rows as days cannot give full rank.
  if (nulls <= days) return(identity(sprintf("%d of %d genes have |z| < %g on every day", nulls, nrow(Bhat), NULL_Z)))
  V <- unname(mashr::estimate_null_correlation_simple(mashr::mash_set_data(Bhat, Shat), z_thresh = NULL_Z))
  if (!all(is.finite(V))) return(identity(sprintf("the z scores of the %d null genes do not vary on some day", nulls)))
  eigenvalues <- eigen(V, symmetric = TRUE, only.values = TRUE)$values
  if (max(eigenvalues) > LARGEST_CONDITION * min(eigenvalues)) {
    return(identity(sprintf("the z scores of the %d null genes are almost collinear", nulls)))
  }
  V
}

# Effects on 2 to D - 1 days alone, and one effect that changes once: it flips, sets on or ends on a day. Names and
# order are those of fatebias.mash.day_patterns.
day_patterns <- function(days) {
  all <- seq_len(days)
  subsets <- unlist(lapply(all[all > 1 & all < days], function(size) {
    if (days <= ALL_SUBSETS) return(utils::combn(days, size, simplify = FALSE))
    lapply(seq_len(days - size + 1), function(first) seq(first, length.out = size))
  }), recursive = FALSE)
  alone <- lapply(subsets, function(on) diag(as.numeric(all %in% on)))
  names(alone) <- vapply(subsets, function(on) paste0("days_", paste0("d", on - 1, collapse = "_")), "")
  steps <- function(name, before, after) {
    patterns <- lapply(all[-1], function(day) tcrossprod(ifelse(all < day, before, after)))
    stats::setNames(patterns, sprintf("%s_d%d", name, all[-1] - 1L))
  }
  c(alone, steps("flip", 1, -1), steps("onset", 0, 1), steps("offset", 1, 0))
}

# Without those that are there already.
add_patterns <- function(U, more) {
  values <- lapply(unname(c(U, more)), as.vector)
  c(U, more[!duplicated(values)[-seq_along(U)]])
}

data_driven <- function(data, rank_one) {
  strong <- mashr::get_significant_results(mashr::mash_1by1(data), STRONG_LFSR)
  if (ncol(data$Bhat) < N_PCS || length(strong) < N_PCS) {
    note("canonical covariances only: ", length(strong), " strong genes on ", ncol(data$Bhat),
         " day(s), too few for data-driven ones")
    return(list())
  }
  start <- mashr::cov_pca(data, N_PCS, subset = strong)
  if (rank_one == "keep") return(mashr::cov_ed(data, start, subset = strong))
  mended(data, start, strong)
}

# As fatebias.mash.deconvolution.room: cov_ed's own function, since cov_ed does not return the weights.
mended <- function(data, start, strong) {
  fit <- utils::getFromNamespace("bovy_wrapper", "mashr")(data, start, subset = strong)
  information <- colSums(data$Shat[strong, , drop = FALSE]^-4)
  added_by_mashr <- diag(1 / sqrt(length(strong)), ncol(data$Bhat))
  patterns <- Map(function(U, weight) U - added_by_mashr + diag(2 / sqrt(weight * information)), fit$Ulist, fit$pi)
  names(patterns) <- paste0("ED_", names(start))
  patterns[fit$pi * length(strong) >= 1]
}

run_mashr <- function(input, chosen) {
  if (nrow(input$Bhat) < 2) {
    fail("input", "mashr takes two genes or more; fatebias's embedded engine (discovery.engine=native) takes one")
  }
  V <- if (ncol(input$Bhat) == 1) {
    diag(1)
  } else if (!is.na(chosen$V)) {
    read_correlation(chosen$V, input$genes, ncol(input$Bhat))
  } else if (chosen[["null-correlation"]] == "simple") {
    null_correlation(input$Bhat, input$Shat)
  } else {
    diag(ncol(input$Bhat))
  }
  data <- mashr::mash_set_data(input$Bhat, input$Shat, V = V)
  U <- mashr::cov_canonical(data)
  if (chosen$covariances == "days") U <- add_patterns(U, day_patterns(ncol(input$Bhat)))
  if (chosen$covariances == "datadriven") U <- c(U, data_driven(data, chosen[["rank-one"]]))
  by_gene <- length(dim(V)) == 3
  m <- mashr::mash(data, U, prior = chosen$prior, nullweight = chosen$nullweight, verbose = FALSE,
                   algorithm.version = if (by_gene) "R" else "Rcpp")
  pi <- mashr::get_estimated_pi(m, "all")
  list(postmean = ashr::get_pm(m), postsd = ashr::get_psd(m), lfsr = ashr::get_lfsr(m),
       loglik = ashr::get_loglik(m), pi = pi, priors = list(mash_prior(m$fitted_g, pi)),
       V = if (by_gene) NULL else V)
}

# Components come scale by scale, the patterns within each; the null comes before them.
mash_prior <- function(g, pi) {
  days <- nrow(g$Ulist[[1]])
  scaled <- unlist(lapply(g$grid, function(w) lapply(g$Ulist, function(U) w^2 * U)), recursive = FALSE)
  covariances <- c(list(matrix(0, days, days)), scaled)
  stopifnot(length(covariances) == length(pi))
  list(weights = unname(pi[pi > 0]), covariances = unname(covariances[pi > 0]))
}

# ---- ashr ------------------------------------------------------------------------------------

# Normal components, as in mashr's own mash_1by1, so that one day of mash and ash agree.
run_ashr <- function(input, chosen) {
  fits <- lapply(seq_len(ncol(input$Bhat)), function(d) {
    ashr::ash(input$Bhat[, d], input$Shat[, d], mixcompdist = "normal", prior = chosen$prior,
              nullweight = chosen$nullweight)
  })
  by_day <- function(get) matrix(vapply(fits, get, numeric(nrow(input$Bhat))), ncol = length(fits))
  pi <- unlist(lapply(seq_along(fits), function(i) {
    weights <- fits[[i]]$fitted_g$pi
    names(weights) <- paste0("d", i - 1, ".", c("null", paste0("normal.", seq_along(weights[-1]))))
    weights
  }))
  priors <- lapply(fits, function(fit) {
    kept <- fit$fitted_g$pi > 0
    list(weights = fit$fitted_g$pi[kept], covariances = as.list(fit$fitted_g$sd[kept]^2))
  })
  list(postmean = by_day(ashr::get_pm), postsd = by_day(ashr::get_psd), lfsr = by_day(ashr::get_lfsr),
       qvalue = by_day(ashr::get_qvalue), loglik = sum(vapply(fits, ashr::get_loglik, 0)), pi = pi,
       priors = priors, V = NULL)
}

# ---- output ----------------------------------------------------------------------------------

# The fewest digits that read back as the same number.
digits <- function(x) {
  short <- sprintf("%.15g", x)
  wrong <- suppressWarnings(as.numeric(short)) != x
  wrong <- is.na(wrong) | wrong
  short[wrong] <- sprintf("%.17g", x[wrong])
  short
}

result_table <- function(input, fit, chosen) {
  sd <- fit$postsd
  if (any(is.nan(sd))) {
    note(sum(is.nan(sd)), " posterior SDs set to 0: the package rounded their variances below zero")
    sd[is.nan(sd)] <- 0
  }
  parts <- list(postmean = fit$postmean, postsd = sd, lfsr = fit$lfsr, qvalue = fit$qvalue)
  table <- input$table
  for (name in names(parts)[lengths(parts) > 0]) {
    for (d in seq_len(ncol(fit$lfsr))) table[[paste0(name, "_d", d - 1)]] <- digits(parts[[name]][, d])
  }
  called <- fit$lfsr < chosen$threshold
  if (!is.null(fit$qvalue) && !is.na(chosen[["qvalue-threshold"]])) {
    called <- called & fit$qvalue < chosen[["qvalue-threshold"]]
  }
  table$lfsr_min <- digits(apply(fit$lfsr, 1, min))
  table$best_day <- as.character(apply(fit$lfsr, 1, which.min) - 1)
  table$hit_anyday <- ifelse(rowSums(called) > 0, "True", "False")
  table
}

write_whole <- function(table, path) {
  quoted <- function(x) ifelse(grepl("[\",\r\n]", x, useBytes = TRUE),
                               paste0("\"", gsub("\"", "\"\"", x, fixed = TRUE), "\""), x)
  lines <- c(paste(quoted(names(table)), collapse = ","), do.call(paste, c(lapply(unname(table), quoted), sep = ",")))
  draft <- paste0(path, ".", Sys.getpid(), ".part")
  tryCatch({
    connection <- file(draft, "wb")
    writeLines(lines, connection, useBytes = TRUE)
    close(connection)
    if (!file.rename(draft, path)) stop("cannot rename ", draft)
  }, error = function(e) {
    unlink(draft)
    fail("output", path, " cannot be written: ", conditionMessage(e))
  }, warning = function(w) {
    unlink(draft)
    fail("output", path, " cannot be written: ", conditionMessage(w))
  })
}

json_text <- function(x) paste0("\"", gsub("([\"\\\\])", "\\\\\\1", x), "\"")

json_report <- function(input, fit, chosen, versions) {
  object <- function(values) paste0("{", paste0(json_text(names(values)), ":", values, collapse = ","), "}")
  list_of <- function(values) paste0("[", paste(values, collapse = ","), "]")
  pi <- fit$pi[fit$pi > 0]
  rows <- function(M) if (is.matrix(M)) list_of(apply(M, 1, function(row) list_of(digits(row)))) else digits(M)
  V <- if (is.null(fit$V)) "null" else rows(fit$V)
  priors <- vapply(fit$priors, function(prior) {
    object(c(weights = list_of(digits(prior$weights)),
             covariances = list_of(vapply(prior$covariances, rows, ""))))
  }, "")
  object(c(method = json_text(chosen$method),
           versions = object(vapply(versions, json_text, "")),
           n_genes = nrow(input$Bhat), n_days = ncol(input$Bhat),
           loglik = digits(fit$loglik), V = V,
           pi = object(stats::setNames(digits(pi), names(pi))),
           priors = list_of(priors),
           notes = list_of(vapply(notes, json_text, "", USE.NAMES = FALSE))))
}

# ---- main ------------------------------------------------------------------------------------

main <- function() {
  chosen <- parse_arguments(commandArgs(trailingOnly = TRUE))
  input <- read_summary(chosen$input)
  needed <- if (chosen$method == "mashr") c("mashr", "ashr") else "ashr"
  for (package in needed) {
    why <- tryCatch({ loadNamespace(package); NULL }, error = function(e) conditionMessage(e))
    if (!is.null(why)) {
      fail("package", "the R package ", package, " is missing or broken (", why, "). Get it with: conda env create ",
           "-f mashr/mash.yaml (environment fate-mash), or install.packages(\"", package, "\"); or let fatebias's ",
           "embedded engine do the work: discovery.engine=native")
    }
  }
  set.seed(chosen$seed)
  fit <- tryCatch(
    if (chosen$method == "mashr") run_mashr(input, chosen) else run_ashr(input, chosen),
    error = function(e) fail("engine", chosen$method, " failed: ", conditionMessage(e))
  )
  if (!all(is.finite(fit$postmean)) || !all(is.finite(fit$lfsr))) {
    fail("engine", chosen$method, " gave posterior means or lfsr that are not finite")
  }
  versions <- c(R = as.character(getRversion()), vapply(needed, function(p) as.character(utils::packageVersion(p)), ""))
  write_whole(result_table(input, fit, chosen), chosen$output)
  cat(json_report(input, fit, chosen, versions), "\n", sep = "")
}

main()
