# 'fusebox policy test' runs every rule called test_…: it must be true.

package fusebox.policy_test

import rego.v1

import data.fusebox.policy

entry(name, resource, conditions) := {
	"name": name,
	"resource": resource,
	"separators": null,
	"conditions": conditions,
}

asked(facts, denies, holds, grants) := policy.decide({
	"resource": "erp.orders",
	"facts": facts,
	"denies": denies,
	"holds": holds,
	"grants": grants,
})

test_nothing_is_allowed_that_nobody_granted if asked({}, [], [], []).decision == "deny"

test_a_grant_allows if {
	answer := asked({}, [], [], [entry("orders", "erp.*", [])])
	answer.decision == "allow"
	answer.rule == "orders"
}

test_a_grant_for_another_resource_does_not if asked({}, [], [], [entry("x", "crm.*", [])]).decision == "deny"

test_a_deny_wins if asked({}, [entry("no", "erp.orders", [])], [], [entry("yes", "*", [])]).decision == "deny"

test_a_hold_wins_over_a_grant if asked({}, [], [entry("ask", "erp.*", [])], [entry("yes", "*", [])]).decision == "hold"

test_a_pattern_must_fit if {
	grants := [entry("reads", "erp.*", [{"fact": "target", "like": "GET *"}])]
	asked({"target": "GET /orders"}, [], [], grants).decision == "allow"
	asked({"target": "POST /orders"}, [], [], grants).decision == "deny"
	asked({}, [], [], grants).decision == "deny"
}

test_a_number_must_not_exceed_its_bound if {
	grants := [entry("small", "erp.*", [{"fact": "arguments.amount", "at_most": 100}])]
	asked({"arguments.amount": 100}, [], [], grants).decision == "allow"
	asked({"arguments.amount": 100.5}, [], [], grants).decision == "deny"
	asked({"arguments.amount": "99"}, [], [], grants).decision == "deny"
	asked({"arguments.amount": null}, [], [], grants).decision == "deny"
	asked({}, [], [], grants).decision == "deny"
}

test_every_condition_must_hold if {
	both := [{"fact": "target", "like": "GET *"}, {"fact": "environment", "like": "test"}]
	grants := [entry("both", "erp.*", both)]
	asked({"target": "GET /", "environment": "test"}, [], [], grants).decision == "allow"
	asked({"target": "GET /", "environment": "production"}, [], [], grants).decision == "deny"
}

test_a_number_above_a_bound_is_held if {
	holds := [entry("large", "erp.*", [{"fact": "arguments.amount", "above": 500}])]
	grants := [entry("any", "erp.*", [])]
	asked({"arguments.amount": 500}, [], holds, grants).decision == "allow"
	asked({"arguments.amount": 501}, [], holds, grants).decision == "hold"
	asked({"arguments.amount": null}, [], holds, grants).decision == "allow"
}

test_what_cannot_be_judged_fits_denies_and_holds if {
	large := [entry("large", "erp.*", [{"fact": "arguments.amount", "above": 500}])]
	forced := [entry("forced", "erp.*", [{"fact": "arguments.mode", "like": "force*"}])]
	grants := [entry("any", "erp.*", [])]
	asked({"arguments.amount": "9000"}, [], large, grants).decision == "hold"
	asked({"arguments.mode": ["safe", "force"]}, forced, [], grants).decision == "deny"
	asked({"arguments.mode": {"_cut": true}}, forced, [], grants).decision == "deny"
	asked({"arguments.mode": 7}, forced, [], grants).decision == "deny"
	asked({"arguments.mode": "safe"}, forced, [], grants).decision == "allow"
}
