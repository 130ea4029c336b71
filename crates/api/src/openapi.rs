//! The OpenAPI 3.1 document, made of the routes and the types' schemas.

use std::collections::BTreeMap;

use utoipa::openapi::path::{HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{AllOfBuilder, ObjectBuilder, Schema, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, Content, ContentBuilder, Header, InfoBuilder, OpenApi, OpenApiBuilder, Paths, Ref,
    RefOr, Required, Response, ResponseBuilder, SecurityRequirement,
};
use utoipa::{PartialSchema, ToSchema};

use crate::route::{Call, Condition, Method, Route};
use crate::{Code, Problem, schema, v1};

type Schemas = Vec<(String, RefOr<Schema>)>;

/// The document, as `openapi/netmaster-v1.json` has it.
pub fn document() -> OpenApi {
    let mut paths = Paths::new();
    for route in v1::routes() {
        paths.add_path_operation(route.path, vec![http_method(route.method)], operation(&route));
    }
    let bearer = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    let components = ComponentsBuilder::new().schemas_from_iter(schemas()).security_scheme("bearer", bearer);
    let components = components.responses_from_iter(all_refusals());
    let info = InfoBuilder::new()
        .title("Selvage netmaster")
        .version("v1")
        .description(Some("Intent of a multi-tenant Open vSwitch fabric"));
    OpenApiBuilder::new().info(info).paths(paths).components(Some(components.build())).build()
}

fn http_method(method: Method) -> HttpMethod {
    match method {
        Method::Get => HttpMethod::Get,
        Method::Post => HttpMethod::Post,
        Method::Put => HttpMethod::Put,
        Method::Delete => HttpMethod::Delete,
    }
}

fn operation(route: &Route) -> OperationBuilder {
    let mut operation = OperationBuilder::new()
        .operation_id(Some(route.call.operation()))
        .summary(Some(route.call.summary()));
    for name in route.parameters() {
        operation =
            operation.parameter(parameter(name, ParameterIn::Path, parameter_schema(name), Required::True));
    }
    for query in route.call.query() {
        let schema = query.schema();
        let query = parameter(query.name(), ParameterIn::Query, schema, Required::False)
            .description(Some(query.summary()));
        operation = operation.parameter(query);
    }
    if route.is_watchable() {
        let place = parameter(v1::watch::LAST_EVENT_ID, ParameterIn::Header, "EventId", Required::False);
        operation =
            operation.parameter(place.description(Some("With `watch`: the id of the last event seen")));
    }
    for condition in route.call.conditions() {
        let (name, schema) = match condition {
            Condition::IfMatch => ("If-Match", "IfMatch"),
            Condition::IfAbsent => ("If-None-Match", "IfAbsent"),
            Condition::IfChanged => ("If-None-Match", "IfChanged"),
        };
        operation = operation.parameter(parameter(name, ParameterIn::Header, schema, Required::False));
    }
    if let Some(body) = route.call.body() {
        let body =
            RequestBodyBuilder::new().content("application/json", json(&body)).required(Some(Required::True));
        operation = operation.request_body(Some(body.build()));
    }
    for status in route.call.successes() {
        operation = operation.response(status.to_string(), success(route, *status));
    }
    for (status, codes) in refusals(route) {
        let shared = Ref::from_response_name(refusal_name(status, &codes));
        operation = operation.response(status.to_string(), shared);
    }
    if route.public {
        operation
    } else {
        operation.security(SecurityRequirement::new("bearer", Vec::<String>::new()))
    }
}

fn json(schema: &str) -> Content {
    ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build()
}

/// An answer that is no refusal.
fn success(route: &Route, status: u16) -> Response {
    let words = match status {
        201 => "Created",
        204 => "Deleted",
        304 => "What the client has is what would be answered",
        _ => "Done",
    };
    let mut response = ResponseBuilder::new().description(words);
    if let Some(reply) = route.call.reply().filter(|_| status != 304) {
        response = response.content("application/json", json(&reply));
    }
    if route.is_watchable() {
        response = response.content(v1::watch::MEDIA_TYPE, json("EventStream"));
    }
    if matches!(route.call, Call::Create(_) | Call::Read(_) | Call::Replace(_)) {
        response = response.header("ETag", header("EntityTag", "The object's version"));
    }
    if status == 201 {
        response = response.header("Location", header("Location", "The object's path"));
    }
    response.build()
}

fn header(schema: &str, words: &str) -> Header {
    let mut header = Header::new(Ref::from_schema_name(schema));
    header.description = Some(words.to_owned());
    header
}

/// The codes of every status.
fn refusals(route: &Route) -> BTreeMap<u16, Vec<Code>> {
    let mut statuses: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in route.refusals() {
        statuses.entry(code.status()).or_default().push(code);
    }
    statuses
}

/// What operations call a refusal they share.
fn refusal_name(status: u16, codes: &[Code]) -> String {
    let codes: Vec<_> = codes.iter().map(|c| c.as_str()).collect();
    format!("{status}.{}", codes.join("."))
}

/// Every refusal there is.
fn all_refusals() -> BTreeMap<String, RefOr<Response>> {
    let all = v1::routes().into_iter().flat_map(|route| refusals(&route));
    all.map(|(status, codes)| (refusal_name(status, &codes), refusal(&codes).into())).collect()
}

/// A refusal: the problem's `code` is one of these.
fn refusal(codes: &[Code]) -> Response {
    let words: Vec<_> = codes.iter().map(|c| format!("`{}`: {}", c.as_str(), c.meaning())).collect();
    let code =
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(codes.iter().map(|c| c.as_str())));
    let code = ObjectBuilder::new().property("code", code);
    let problem = AllOfBuilder::new().item(Ref::from_schema_name("Problem")).item(code);
    let problem = ContentBuilder::new().schema(Some(problem)).build();
    ResponseBuilder::new().description(words.join(" ")).content("application/problem+json", problem).build()
}

fn parameter(name: &str, place: ParameterIn, schema: &str, required: Required) -> ParameterBuilder {
    let reference = RefOr::Ref(Ref::from_schema_name(schema));
    ParameterBuilder::new().name(name).parameter_in(place).required(required).schema(Some(reference))
}

fn parameter_schema(name: &str) -> &'static str {
    match name {
        "node" => "NodeName",
        "endpoint" => "EndpointName",
        _ => "Name",
    }
}

fn add<T: ToSchema>(schemas: &mut Schemas) {
    schemas.push((T::name().into_owned(), T::schema()));
    T::schemas(schemas);
}

fn list<T: ToSchema>(schemas: &mut Schemas) {
    add::<T>(schemas);
    schemas.push((format!("{}List", T::name()), v1::List::<T>::schema()));
}

fn schemas() -> Schemas {
    let mut all = Schemas::new();
    list::<v1::Tenant>(&mut all);
    list::<v1::Network>(&mut all);
    list::<v1::Policy>(&mut all);
    list::<v1::NetProfile>(&mut all);
    list::<v1::Group>(&mut all);
    list::<v1::Endpoint>(&mut all);
    list::<v1::Node>(&mut all);
    add::<v1::ApplyBody>(&mut all);
    add::<v1::Apply>(&mut all);
    add::<v1::ExplainBody>(&mut all);
    add::<v1::Explanation>(&mut all);
    add::<v1::PolicyCounters>(&mut all);
    add::<v1::JoinFile>(&mut all);
    add::<v1::Status>(&mut all);
    add::<v1::Audit>(&mut all);
    add::<v1::Probe>(&mut all);
    add::<v1::Version>(&mut all);
    add::<Problem>(&mut all);
    add::<schema::Cidr>(&mut all);
    add::<schema::PortRange>(&mut all);
    add::<schema::AddressRange>(&mut all);
    add::<schema::Revision>(&mut all);
    add::<schema::EndpointName>(&mut all);
    add::<schema::Limit>(&mut all);
    add::<schema::EntityTag>(&mut all);
    add::<schema::IfMatch>(&mut all);
    add::<schema::IfAbsent>(&mut all);
    add::<schema::IfChanged>(&mut all);
    add::<schema::Location>(&mut all);
    add::<schema::Continue>(&mut all);
    add::<schema::Flag>(&mut all);
    add::<schema::EventId>(&mut all);
    add::<schema::EventStream>(&mut all);
    add::<v1::Bookmark>(&mut all);
    let anything = ObjectBuilder::new().description(Some("An OpenAPI 3.1 document")).build();
    all.push(("OpenApi".to_owned(), RefOr::T(anything.into())));
    all
}
