# What the registry says is what holds: the grants and denies of the agent and of its roles (agents.toml).
#
# A deny wins over everything, a grant with "hold" over one without; an action that nothing fits is denied.
# The rules are functions of what is asked, so that tests can ask anything.

package fusebox.policy

import rego.v1

decision := decide({
	"resource": unescaped(input.resource),
	"facts": input.facts,
	"denies": listed("denies"),
	"holds": listed("holds"),
	"grants": listed("grants"),
})

# What the registry lists for this agent and this kind of action. The embedded engine has it as data; a server, which
# may be shared, is told with the question.
listed(kind) := object.get(data.registry, [input.agent, kind, input.action], []) if not input.standing

listed(kind) := object.get(input.standing, [kind, input.action], [])

decide(question) := answer(denies, holds, grants) if {
	denies := [entry.name | some entry in question.denies; may_fit(question, entry)]
	holds := [entry.name | some entry in question.holds; may_fit(question, entry)]
	grants := [entry.name | some entry in question.grants; fits(question, entry)]
}

answer(denies, _, _) := {
	"decision": "deny",
	"rule": denies[0],
	"matched": denies,
	"reason": concat(" ", ["denied by", denies[0]]),
} if {
	count(denies) > 0
}

answer([], holds, _) := {
	"decision": "hold",
	"rule": holds[0],
	"matched": holds,
	"reason": concat(" ", ["a person must agree:", holds[0]]),
} if {
	count(holds) > 0
}

answer([], [], grants) := {
	"decision": "allow",
	"rule": grants[0],
	"matched": grants,
	"reason": concat(" ", ["granted by", grants[0]]),
} if {
	count(grants) > 0
}

answer([], [], []) := {"decision": "deny", "rule": "", "matched": [], "reason": "no grant allows it"}

# No pattern has a "?", so it fits what the backslash would; rego-cpp takes "\\x" in what it compares for an escape.
unescaped(text) := replace(text, "\\", "?")

fits(question, entry) if {
	glob.match(entry.resource, entry.separators, question.resource)
	every condition in entry.conditions {
		met(condition, question.facts[condition.fact])
	}
}

met(condition, fact) if glob.match(condition.like, null, unescaped(fact))

met(condition, fact) if {
	is_number(fact)
	fact <= condition.at_most
}

met(condition, fact) if {
	is_number(fact)
	fact > condition.above
}

# What cannot be judged (a list, something cut, a number given as text or where a pattern looks for one) fits a deny or
# a hold, and never a grant.
may_fit(question, entry) if {
	glob.match(entry.resource, entry.separators, question.resource)
	every condition in entry.conditions {
		may_be_met(condition, question.facts[condition.fact])
	}
}

may_be_met(condition, fact) if met(condition, fact)

may_be_met(_, fact) if is_array(fact)

may_be_met(_, fact) if is_object(fact)

may_be_met(condition, fact) if {
	not condition.like
	is_string(fact)
}

may_be_met(condition, fact) if {
	condition.like
	is_number(fact)
}
