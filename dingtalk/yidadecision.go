package dingtalk

import "kdgate/identity"

// yidaEntries are the refusals of Yida's own table of error codes that ask for
// something else than the rules for their kind do.
func yidaEntries(throttled rule) []entry {
	setup := func(name, advice string) rule {
		return rule{name: name, kind: identity.Misconfigured, code: identity.CodeDingTalkSetup, advice: advice}
	}
	return []entry{
		{throttled, []string{
			"failure.operation.requestTooFast", "failure.operation.operatingFrequencyTooFast", "failure.operation.tooManyVisitors",
		}},
		{ruleBusy, []string{
			"systemRuntimeException.*", "unclassifiedError", "innerError", "failure.businessError.*", "failure.service.*",
			"failure.operation.fatalSystemError", "failure.operation.lightSystemError", "invalidState.openSearch.currentFormIsRebuilding",
		}},
		{
			setup("yida_key", "Yida refuses the pair of application and system token: compare both with the data page of the application's settings"),
			[]string{
				"invalidParameter.parameter.accessKeyNotMatch", "invalidState.authorization.invalidAuthorizationInformation",
				"failure.operation.applicationKeyIsSensitiveInformation", "applicationNotExist.*",
				"failure.operation.saasApplicationNotFound", "invalidParameter.appKey.targetAppKeyInvalid",
			},
		},
		{
			setup("yida_form", "Yida does not know a form of the configuration: compare it with the address of the form's page"),
			[]string{
				"invalidParameter.parameter.incorrectFormUuid", "invalidState.form.formNotExist", "invalidState.form.correspondingFormIsDeleted",
				"invalidState.form.pageNotFound", "invalidState.form.publishedPageNotFound",
			},
		},
		{
			setup("yida_reader", "Yida does not let the person read in whose name we ask: make them an administrator of the application's data"),
			[]string{"noPermission.*", "invalidState.account.accountNotAuthorized"},
		},
		{
			rule{name: "no_submission", kind: identity.NotFound},
			[]string{"invalidState.form.dataDoesNotExistOrIsDeleted", "invalidState.form.pageInstanceNotFound"},
		},
		{
			rule{name: "no_commenter", kind: identity.Forbidden, code: identity.CodeNotInScope},
			[]string{"failure.user.userNotExist"},
		},
	}
}
