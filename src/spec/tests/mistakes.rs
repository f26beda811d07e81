//! Single mistakes in the example, each with the very block that is printed for it.

/// Whose rule a mistake breaks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum By {
    /// The schema's, as any validator of JSON Schema sees it.
    Schema,
    /// The schema's through a keyword of our own.
    Keyword,
    /// A rule between values, or of the file.
    Rule,
}

/// What is replaced by what, the line and column, and what is printed after them.
pub(super) struct Mistake {
    pub passage: &'static str,
    pub replacement: &'static str,
    pub at: (usize, usize),
    pub message: &'static str,
    pub by: By,
}

const fn mistake(
    passage: &'static str,
    replacement: &'static str,
    at: (usize, usize),
    message: &'static str,
    by: By,
) -> Mistake {
    Mistake { passage, replacement, at, message, by }
}

#[rustfmt::skip] // a table: one mistake a row
pub(super) const MISTAKES: &[Mistake] = &[
    mistake("version: 1\n", "version: 2\n", (3, 10), "version is the number 2\n  expected at most 1\n  hint: a newer bakeline may read it", By::Schema),
    mistake("version: 1\n", "version: one\n", (3, 10), "version is \"one\"\n  expected a whole number: the version of this format", By::Schema),
    mistake("service: web\n", "service: Web_Shop\n", (4, 10), "service is \"Web_Shop\"\n  expected the service's name, 1 to 40 of a-z, 0-9 and -: the value of the tag bakeline:service on its images\n  hint: write it as web-shop", By::Schema),
    mistake("service: web\n", "", (3, 1), "the spec has no key \"service\"\n  expected \"service\": the service's name, 1 to 40 of a-z, 0-9 and -: the value of the tag bakeline:service on its images\n  hint: for example service: web", By::Schema),
    mistake("service: web\n", "service: 42\n", (4, 10), "service is the number 42\n  expected a text: the service's name, 1 to 40 of a-z, 0-9 and -: the value of the tag bakeline:service on its images\n  hint: put it in quotes: \"42\"", By::Schema),
    mistake("\nbake:\n", "\nbaek:\n", (6, 1), "unknown key \"baek\"\n  expected one of version, service, bake, test, promote, cleanup, evidence, targets\n  hint: did you mean \"bake\"?", By::Schema),
    mistake("arn:aws:imagebuilder:eu-west-1:123456789012:image-pipeline/web", "arn:aws:imagebuilder:eu-west-1:123456789012:image/web/1.0.0/1", (7, 19), "bake.image_pipeline is \"arn:aws:imagebuilder:eu-west-1:123456789012:image/web/1.0.0/1\"\n  expected ARN of the Image Builder pipeline that bakes the image. Either this, recipe or container\n  hint: this ARN names something else than an image pipeline", By::Schema),
    mistake("arn:aws:imagebuilder:eu-west-1:123456789012:image-pipeline/web", "web", (7, 19), "bake.image_pipeline is \"web\"\n  expected ARN of the Image Builder pipeline that bakes the image. Either this, recipe or container\n  hint: for example arn:aws:imagebuilder:eu-west-1:123456789012:image-pipeline/web", By::Schema),
    mistake("  image_pipeline: arn:aws:imagebuilder:eu-west-1:123456789012:image-pipeline/web\n", "", (6, 1), "bake has none of image_pipeline, recipe, container\n  expected exactly one of image_pipeline, recipe, container\n  hint: an Image Builder pipeline that exists is named by its ARN, a recipe or a container is written here", By::Rule),
    mistake("timeout: 2h", "timeout: 120", (8, 12), "bake.timeout is the number 120\n  expected a whole number and a unit (s, m, h or d): how long the image may take, from the start of the pipeline to copies in every region. At least 5m, at most 14d\n  hint: a duration needs its unit: 120s or 120m?", By::Schema),
    mistake("timeout: 2h", "timeout: 2 hours", (8, 12), "bake.timeout is \"2 hours\"\n  expected a whole number and a unit (s, m, h or d)\n  hint: for example 90s", By::Schema),
    mistake("timeout: 2h", "timeout: 2 H", (8, 12), "bake.timeout is \"2 H\"\n  expected a whole number and a unit (s, m, h or d)\n  hint: write it as 2h", By::Schema),
    mistake("timeout: 2h", "timeout: 1m", (8, 12), "bake.timeout is \"1m\"\n  expected at least 5m", By::Keyword),
    mistake("timeout: 2h", "timeout: 15d", (8, 12), "bake.timeout is \"15d\"\n  expected at most 14d", By::Keyword),
    mistake("timeout: 2h", "timeout: 99999999d", (8, 12), "bake.timeout is \"99999999d\"\n  expected at most 14d", By::Keyword),
    mistake("timeout: 2h", "timeout:", (8, 3), "bake.timeout is empty\n  expected a whole number and a unit (s, m, h or d): how long the image may take, from the start of the pipeline to copies in every region. At least 5m, at most 14d\n  hint: give it a value", By::Schema),
    mistake("timeout: 2h", "timeout: *later", (8, 12), "not YAML: while parsing node, found unknown anchor\n  expected YAML 1.2\n  hint: put it in quotes if it is meant as text: aliases are not read", By::Rule),
    mistake("/imagebuilder/web/candidate", "/aws/web/candidate", (9, 14), "bake.parameter is \"/aws/web/candidate\"\n  expected a name that does not begin with aws or ssm\n  hint: Systems Manager keeps those names", By::Rule),
    mistake("/imagebuilder/web/candidate", "imagebuilder/web/candidate", (9, 14), "bake.parameter is \"imagebuilder/web/candidate\"\n  expected a name with / to begin with /\n  hint: write it as /imagebuilder/web/candidate", By::Rule),
    mistake("/imagebuilder/web/candidate", "/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p", (9, 14), "bake.parameter has 16 levels\n  expected at most 15\n  hint: shorten the path", By::Rule),
    mistake("/imagebuilder/web/candidate", "/web//candidate", (9, 14), "bake.parameter is \"/web//candidate\"\n  expected name of an SSM parameter that is set to the new image: letters, digits and _.-, in parts between single /. It holds a machine image's id (data type aws:ec2:image), or what a container image is pulled by, with its digest\n  hint: for example /imagebuilder/web/candidate", By::Schema),
    mistake("\"123456789012\"", "123456789012", (11, 37), "bake.expect[0].account is the number 123456789012\n  expected a text: the account's twelve digits, in quotes\n  hint: put it in quotes: \"123456789012\"", By::Schema),
    mistake("\"123456789012\"", "012345678901", (11, 37), "bake.expect[0].account is the number 12345678901\n  expected a text: the account's twelve digits, in quotes\n  hint: put it in quotes: \"012345678901\"", By::Schema),
    mistake("\"123456789012\"", "\"1234\"", (11, 37), "bake.expect[0].account is \"1234\"\n  expected the account's twelve digits, in quotes\n  hint: for example \"123456789012\"", By::Schema),
    mistake("region: eu-west-1,", "region: Ireland,", (11, 17), "bake.expect[0].region is \"Ireland\"\n  expected the region, such as eu-west-1\n  hint: for example eu-west-1", By::Schema),
    mistake("    - { region: eu-west-1, account: \"123456789012\" }", "    - { region: eu-west-1, account: \"123456789012\" }\n    - { account: \"123456789012\", region: eu-west-1 }", (12, 7), "the copy \"123456789012 in eu-west-1\" stands here again\n  expected every one once\n  hint: the first one stands in line 11", By::Rule),
    mistake("[sg-0123456789abcdef0]", "sg-0123456789abcdef0", (15, 20), "test.security_groups is \"sg-0123456789abcdef0\"\n  expected a list: the ids of the security groups of the instance\n  hint: write it as a list: [sg-0123456789abcdef0]", By::Schema),
    mistake("[sg-0123456789abcdef0]", "[]", (15, 3), "test.security_groups is empty\n  expected at least one", By::Schema),
    mistake("[sg-0123456789abcdef0]", "[sg-0123456789abcdef0, sg-0123456789abcdef0]", (15, 43), "test.security_groups has the same item twice\n  expected every item once", By::Schema),
    mistake("[sg-0123456789abcdef0]", "[web]", (15, 21), "test.security_groups[0] is \"web\"\n  expected the ids of the security groups of the instance\n  hint: for example sg-0123456789abcdef0", By::Schema),
    mistake("instance_profile: web-staging", "instance_profile: web staging", (16, 21), "test.instance_profile is \"web staging\"\n  expected name or ARN of the instance profile. It must let the instance register with Systems Manager\n  hint: for example web-staging", By::Schema),
    mistake("instance_type: t3.small", "instance_type: small", (17, 18), "test.instance_type is \"small\"\n  expected the type of the instance, such as t3.small\n  hint: for example t3.small", By::Schema),
    mistake("boot_timeout: 15m", "boot_timeout: 3h", (18, 17), "test.boot_timeout is \"3h\"\n  expected at most 2h", By::Keyword),
    mistake("timeout: 1h", "timeout: 20m", (19, 12), "test.timeout is 20m, and its parts may take 26m\n  expected room for boot_timeout, the delivery_timeout and timeout of every check, and the soak\n  hint: raise it to 26m or lower the parts", By::Rule),
    mistake("checks/serves.sh", "../serves.sh", (25, 15), "test.checks[1].script is \"../serves.sh\"\n  expected path of the script in the source artifact: relative, / between folders, of letters, digits and ._-, no part beginning with a dot\n  hint: for example checks/serves.sh", By::Schema),
    mistake("checks/serves.sh", "/bin/sh", (25, 15), "test.checks[1].script is \"/bin/sh\"\n  expected path of the script in the source artifact: relative, / between folders, of letters, digits and ._-, no part beginning with a dot\n  hint: for example checks/serves.sh", By::Schema),
    mistake("name: serves", "name: package", (24, 13), "the check \"package\" stands here again\n  expected every one once\n  hint: the first one stands in line 21", By::Rule),
    mistake("delivery_timeout: 2m", "delivery_timeout: 10s", (26, 25), "test.checks[1].delivery_timeout is \"10s\"\n  expected at least 30s", By::Keyword),
    mistake("delivery_timeout: 2m", "delivery_timeuot: 2m", (26, 7), "unknown key \"delivery_timeuot\"\n  expected one of name, script, document, http, tcp, service, file, package, cloud_init, reboot, needs, retries, secrets, delivery_timeout, timeout\n  hint: did you mean \"delivery_timeout\"?", By::Schema),
    mistake("group: web-production", "group: \"\"", (30, 10), "promote.group is empty\n  expected name of the Auto Scaling group", By::Schema),
    mistake("checkpoints: [10", "chekpoints: [10", (31, 3), "unknown key \"chekpoints\"\n  expected one of group, checkpoints, hold, min_healthy_percent, max_healthy_percent, instance_warmup, bake_time, alarms, metrics, timeout, strategy, turns_with, judge, waves, at_once\n  hint: did you mean \"checkpoints\"?", By::Schema),
    mistake("[10, 25, 50, 100]", "[10, 25, 25, 100]", (31, 25), "promote.checkpoints[2] is 25, after 25\n  expected every checkpoint above the one before it\n  hint: sort them, each once", By::Rule),
    mistake("[10, 25, 50, 100]", "[10, 25, 50]", (31, 25), "the last checkpoint is 50\n  expected 100 as the last checkpoint\n  hint: a refresh that ends lower leaves a mixed fleet", By::Rule),
    mistake("[10, 25, 50, 100]", "[0, 100]", (31, 17), "promote.checkpoints[0] is the number 0\n  expected at least 1", By::Schema),
    mistake("[10, 25, 50, 100]", "[10, 110]", (31, 21), "promote.checkpoints[1] is the number 110\n  expected at most 100", By::Schema),
    mistake("[10, 25, 50, 100]", "25", (31, 16), "promote.checkpoints is the number 25\n  expected a list: percentages of replaced instances, or with blue_green of the traffic, at which it holds to be judged: ascending, the last one 100\n  hint: for example [10, 25, 50, 100]", By::Schema),
    mistake("[10, 25, 50, 100]", "[12.5, 100]", (31, 17), "promote.checkpoints[0] is the number 12.5\n  expected a whole number: percentages of replaced instances, or with blue_green of the traffic, at which it holds to be judged: ascending, the last one 100\n  hint: for example 10", By::Schema),
    mistake("hold: 15m", "hold: 2d", (32, 9), "promote.hold is \"2d\"\n  expected at most 47h", By::Keyword),
    mistake("hold: 15m", "hold: 3m", (60, 23), "promote.metrics[0] needs 5 datapoints of 1m, which take 5m, and a checkpoint holds for 3m\n  expected no more datapoints than a hold has time for\n  hint: raise promote.hold to 5m or ask for fewer", By::Rule),
    mistake("max_healthy_percent: 125", "max_healthy_percent: 201", (34, 24), "promote.max_healthy_percent is the number 201\n  expected at most 200", By::Schema),
    mistake("min_healthy_percent: 100", "min_healthy_percent: 20", (34, 24), "promote.max_healthy_percent is 125, 105 above min_healthy_percent (20)\n  expected at most 100 above it\n  hint: raise min_healthy_percent to 25 or lower this to 120", By::Rule),
    mistake("min_healthy_percent: 100", "min_healthy_percent: 100%", (33, 24), "promote.min_healthy_percent is \"100%\"\n  expected a whole number: the share of the group that must stay healthy during the refresh, in percent. Not 0, which would let every instance be replaced at once\n  hint: write 100 without quotes or sign", By::Schema),
    mistake("min_healthy_percent: 100", "min_healthy_percent: 0", (33, 24), "promote.min_healthy_percent is the number 0\n  expected at least 1", By::Schema),
    mistake("alarms: [web-5xx]", "alarms: [web-5xx]\n  keep_last: 3", (38, 3), "unknown key \"keep_last\"\n  expected one of group, checkpoints, hold, min_healthy_percent, max_healthy_percent, instance_warmup, bake_time, alarms, metrics, timeout, strategy, turns_with, judge, waves, at_once\n  hint: \"keep_last\" stands in the section \"cleanup\"", By::Schema),
    mistake("alarms: [web-5xx]", "alarms: [web-5xx]\n  service: web", (38, 3), "unknown key \"service\"\n  expected one of group, checkpoints, hold, min_healthy_percent, max_healthy_percent, instance_warmup, bake_time, alarms, metrics, timeout, strategy, turns_with, judge, waves, at_once\n  hint: \"service\" stands at the top of the file", By::Schema),
    mistake("alarms: [web-5xx]", "alarms: [web-5xx]\n  alarms: [web-4xx]", (38, 3), "the key \"alarms\" stands here again\n  expected every key once\n  hint: the first one stands in line 37", By::Rule),
    mistake("alarms: [web-5xx]", "alarms: !set [web-5xx]", (37, 11), "a YAML tag stands here\n  expected a plain value\n  hint: remove the tag", By::Rule),
    mistake("alarms: [web-5xx]", "<<: { alarms: [web-5xx] }", (37, 3), "unknown key \"<<\"\n  expected one of group, checkpoints, hold, min_healthy_percent, max_healthy_percent, instance_warmup, bake_time, alarms, metrics, timeout, strategy, turns_with, judge, waves, at_once\n  hint: merge keys are not read: write the values out", By::Schema),
    mistake("        - id: requests", "        - id: Requests", (49, 15), "promote.metrics[0].queries[1].id is \"Requests\"\n  expected what the expression calls it: a lower-case letter, then letters, digits and underscores\n  hint: for example errors", By::Schema),
    mistake("        - id: requests", "        - id: errors", (49, 15), "the query \"errors\" stands here again\n  expected every one once\n  hint: the first one stands in line 42", By::Rule),
    mistake("namespace: AWS/ApplicationELB\n          metric: RequestCount", "metric: RequestCount", (49, 11), "promote.metrics[0].queries[1] has no key \"namespace\"\n  expected \"namespace\": the metric's namespace, such as AWS/ApplicationELB", By::Schema),
    mistake("statistic: Sum\n      # ", "statistic: sum\n      # ", (55, 22), "promote.metrics[0].queries[1].statistic is \"sum\"\n  expected how the samples of one period become one value: Average, Sum, Minimum, Maximum, SampleCount, or a percentile such as p99\n  hint: did you mean Sum?", By::Schema),
    mistake("FILL(errors, 0) / requests", "FILL(erors, 0) / requests", (57, 19), "the expression uses \"erors\", which no query has as its id\n  expected ids of the queries beside it\n  hint: did you mean errors?", By::Rule),
    mistake("      expression: \"100 * FILL(errors, 0) / requests\"\n", "", (40, 7), "promote.metrics[0] (error-share) has 2 queries and no expression\n  expected an expression over their ids\n  hint: for example expression: 100 * errors / requests", By::Rule),
    mistake("period: 1m", "period: 90s", (58, 15), "promote.metrics[0].period is 90s\n  expected 1s, 5s, 10s, 20s, 30s or whole minutes, as CloudWatch keeps datapoints\n  hint: round it to 2m", By::Rule),
    mistake("      at_most: 1.0\n", "", (40, 7), "promote.metrics[0] (error-share) has no bound\n  expected at_most or at_least, or both\n  hint: for example at_most: 1.0", By::Rule),
    mistake("at_most: 1.0", "at_most: 1.0\n      at_least: 2", (60, 17), "promote.metrics[0].at_least is 2, above at_most (1)\n  expected a value not above at_most\n  hint: are the two swapped?", By::Rule),
    mistake("at_most: 1.0", "at_most: .inf", (59, 16), "\".inf\" is not a finite number\n  expected a number\n  hint: put it in quotes if it is meant as text", By::Rule),
    mistake("at_most: 1.0", "at_most: 1%", (59, 16), "promote.metrics[0].at_most is \"1%\"\n  expected a number: the highest value that passes. Given here or at_least, or both\n  hint: write 1 without quotes or sign", By::Schema),
    mistake("min_datapoints: 5", "min_datapoints: 16", (60, 23), "promote.metrics[0] needs 16 datapoints of 1m, which take 16m, and a checkpoint holds for 15m\n  expected no more datapoints than a hold has time for\n  hint: raise promote.hold to 16m or ask for fewer", By::Rule),
    mistake("min_datapoints: 5", "min_datapoints: 0", (60, 23), "promote.metrics[0].min_datapoints is the number 0\n  expected at least 1", By::Schema),
    mistake("timeout: 8h", "timeout: 90m", (61, 12), "promote.timeout is 90m, and holding and baking alone take 2h\n  expected more than hold x checkpoints + bake_time, with room for replacing instances\n  hint: raise it well above 2h or hold shorter", By::Rule),
    mistake("keep_last: 3", "keep_last: 0", (64, 14), "cleanup.keep_last is the number 0\n  expected at least 1", By::Schema),
    mistake("keep_younger_than: 14d", "keep_younger_than: 2w", (65, 22), "cleanup.keep_younger_than is \"2w\"\n  expected a whole number and a unit (s, m, h or d)\n  hint: for example 90s", By::Schema),
    mistake("valid_for: 7d", "valid_for: 5m", (71, 14), "evidence.valid_for is \"5m\"\n  expected at least 1h", By::Keyword),
];
