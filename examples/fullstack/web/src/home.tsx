import { useLogto } from '@logto/react';
import { Link } from 'react-router';
import { Heading } from './heading';
import { settings } from './settings';
import { SignInButton } from './sign-in-button';

export function Home() {
  const { isAuthenticated } = useLogto();
  return (
    <>
      <Heading title="Logto and a Go API" />
      <p>
        This page signs you in with Logto, asks for an access token for the API, and calls a protected endpoint with it.
      </p>
      <section className="card">
        {isAuthenticated ? (
          <>
            <h2>You are signed in</h2>
            <p>
              Go to the <Link to="/protected">protected page</Link> and call the API.
            </p>
          </>
        ) : (
          <>
            <h2>Sign in first</h2>
            <p>{settings.local ? 'An emulator takes the place of Logto: choose who you are. There are no passwords.' : 'Your Logto tenant signs you in.'}</p>
            <SignInButton />
          </>
        )}
      </section>
      <h2>What is at work</h2>
      <table>
        <tbody>
          <Row name="Sign-in" value={settings.endpoint} />
          <Row name="API" value={settings.api} />
          <Row name="API resource" value={settings.resource} />
          <Row name="Client ID" value={settings.clientId} />
        </tbody>
      </table>
    </>
  );
}

function Row({ name, value }: { name: string; value: string }) {
  return (
    <tr>
      <th scope="row">{name}</th>
      <td>
        <code>{value}</code>
      </td>
    </tr>
  );
}
